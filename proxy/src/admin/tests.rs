use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use portcullis_config::model::Listener;
use portcullis_config::{SecretSource, parse_str_with};
use prometheus::Registry;
use serde_json::Value;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::guard::AdminTransport;
use super::handle::{self, Handle, LastReload};
use super::{Shared, api, status};
use crate::observe::metrics::Metrics;
use crate::snapshot::{Addresses, Snapshot};
use crate::sockets::ListenerId;

const TOKEN: &str = "token-that-nobody-may-see";
const KEY: &str = "key-that-nobody-may-see";

const CONFIG: &str = r#"version: v1
listeners:
  - {name: public, address: "127.0.0.1:8080"}
  - {name: status, address: "127.0.0.1:9902", kind: status}
upstreams:
  - name: orders
    endpoints: [{address: "127.0.0.1:7003", weight: 3}, {address: "127.0.0.1:7004"}]
routes:
  - name: rest
    backends: [{upstream: orders}]
    requestHeaders: {set: [{name: x-key, value: "${env:KEY}"}]}
  - name: hello
    match: {hosts: ["*.example.com"], path: {exact: /hello}}
    reply: {status: 200, body: "hello ${env:KEY}"}
  - name: home
    match: {hosts: [shop.example.com], methods: [GET]}
    redirect: {host: example.org}
admin: {address: "127.0.0.1:9901", token: "${env:TOKEN}"}
"#;

struct Secrets;

impl SecretSource for Secrets {
    fn environment(&self, name: &str) -> Result<String, String> {
        let known = HashMap::from([("TOKEN", TOKEN), ("KEY", KEY)]);
        known.get(name).map(|value| (*value).to_owned()).ok_or_else(|| "unset".to_owned())
    }

    fn file(&self, _path: &std::path::Path) -> Result<String, String> {
        Err("no files here".to_owned())
    }
}

struct Everywhere;

impl Addresses for Everywhere {
    fn identify(&self, _: &Listener) -> Option<(ListenerId, Option<u16>)> {
        Some((ListenerId(1), Some(8080)))
    }
}

fn shared(config: &str) -> (Arc<Shared>, mpsc::Receiver<handle::ControlRequest>) {
    let config = Arc::new(parse_str_with("gateway.yaml", config, &Secrets).unwrap().config);
    let registry = Registry::new();
    let metrics = Metrics::new(2, &registry).unwrap();
    let snapshot = Snapshot::build(config, None, &metrics, &Everywhere).ok().unwrap();
    let (handle, requests) = Handle::channel(1);
    let published = Arc::new(ArcSwap::from_pointee(snapshot));
    (Shared::new(published, metrics, registry, handle), requests)
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "localhost:9901")
}

fn changing(path: &str) -> Request<Body> {
    let authorized = request("POST", path).header("authorization", format!("Bearer {TOKEN}"));
    authorized.body(Body::empty()).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json(router: &Router, path: &str) -> Value {
    let request = request("GET", path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    serde_json::from_str(&text(response).await).unwrap()
}

/// Answers every reload with this.
fn answering(mut requests: mpsc::Receiver<handle::ControlRequest>, last: LastReload) {
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            if let handle::ControlRequest::Reload(answer) = request {
                let _ = answer.send(last.clone());
            }
        }
    });
}

const VIEWS: &[&str] = &[
    "/",
    "/page.css",
    "/page.js",
    "/version",
    "/config",
    "/listeners",
    "/routes",
    "/upstreams",
    "/certificates",
    "/livez",
    "/readyz",
    "/metrics",
];

#[tokio::test]
async fn every_path_takes_its_methods_alone() {
    let (shared, _requests) = shared(CONFIG);
    let admin = api::router(Arc::clone(&shared), AdminTransport::Tcp);
    let status = status::router(shared);
    let check = async |router: &Router, method: &str, path: &str, expected: u16| {
        let request = request(method, path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{method} {path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{method} {path}");
        assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control")));
        if expected >= 400 {
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(response.headers().contains_key("allow"), expected == 405, "{path}");
            let problem: Value = serde_json::from_str(&text(response).await).unwrap();
            assert_eq!(problem["status"], expected);
        }
    };
    for path in VIEWS {
        check(&admin, "GET", path, 200).await;
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            check(&admin, method, path, 405).await;
        }
        let public = matches!(*path, "/livez" | "/readyz" | "/metrics");
        check(&status, "GET", path, if public { 200 } else { 404 }).await;
        check(&status, "POST", path, if public { 405 } else { 404 }).await;
    }
    for path in ["/reload", "/drain"] {
        check(&admin, "GET", path, 405).await;
        check(&admin, "OPTIONS", path, 405).await;
        check(&admin, "POST", path, 401).await;
        check(&status, "POST", path, 404).await;
    }
    for path in ["/no", "/config/", "//config", "/livez/x"] {
        check(&admin, "GET", path, 404).await;
        check(&status, "GET", path, 404).await;
    }
}

#[tokio::test]
async fn the_guards_stand_before_every_path() {
    let (shared, mut requests) = shared(CONFIG);
    let admin = api::router(shared, AdminTransport::Tcp);
    for path in VIEWS.iter().chain(&["/reload", "/drain", "/no"]) {
        let method = if matches!(*path, "/reload" | "/drain") { "POST" } else { "GET" };
        for (name, value) in [("host", "rebound.example"), ("origin", "https://attacker.example")] {
            let mut request = request(method, path)
                .header("authorization", format!("Bearer {TOKEN}"))
                .body(Body::empty())
                .unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
            let response = admin.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path} {name}: {value}");
        }
    }
    assert!(requests.try_recv().is_err(), "nothing was asked of the control loop");
}

#[tokio::test]
async fn without_a_token_changes_need_the_unix_socket() {
    let config = CONFIG.replace(r#", token: "${env:TOKEN}""#, "");
    let (shared, mut requests) = shared(&config);
    let send = async |transport, path| {
        let router = api::router(Arc::clone(&shared), transport);
        router.oneshot(request("POST", path).body(Body::empty()).unwrap()).await.unwrap()
    };
    let refused = send(AdminTransport::Tcp, "/drain").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(text(refused).await.contains("admin.token"), "it names the remedy");
    assert!(requests.try_recv().is_err());
    assert_eq!(send(AdminTransport::Unix, "/drain").await.status(), StatusCode::ACCEPTED);
    assert!(matches!(requests.try_recv(), Ok(handle::ControlRequest::Drain)));
}

#[tokio::test]
async fn a_refusal_says_how_to_authenticate() {
    let (shared, _requests) = shared(CONFIG);
    let router = api::router(shared, AdminTransport::Tcp);
    let response = router.oneshot(request("POST", "/drain").body(Body::empty()).unwrap());
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"portcullis\"");
}

#[tokio::test]
async fn no_secret_appears_anywhere() {
    let (shared, _requests) = shared(CONFIG);
    let router = api::router(shared, AdminTransport::Tcp);
    for path in VIEWS {
        let request = request("GET", path).body(Body::empty()).unwrap();
        let shown = text(router.clone().oneshot(request).await.unwrap()).await;
        assert!(!shown.contains(TOKEN) && !shown.contains(KEY), "{path} shows\n{shown}");
    }
    let config = json(&router, "/config").await;
    assert_eq!(config["config"]["admin"]["token"], "${env:TOKEN}");
    assert_eq!(config["generation"], 1);
}

#[tokio::test]
async fn routes_stand_in_the_order_in_which_they_are_tried() {
    let (shared, _requests) = shared(CONFIG);
    let router = api::router(shared, AdminTransport::Tcp);
    let routes = json(&router, "/routes").await;
    let listener = &routes["listeners"][0];
    assert_eq!(listener["name"], "public");
    let names = listener["routes"].as_array().unwrap().iter().map(|route| &route["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["home", "hello", "rest"]);
    let hello = &listener["routes"][1];
    assert_eq!(hello["location"], "gateway.yaml:12:11");
    assert_eq!(hello["match"]["path"]["exact"], "/hello");
    assert_eq!(hello["action"]["reply"]["body"], "hello ${env:KEY}");
    assert_eq!(hello["requests"], 0);
    assert_eq!(listener["routes"][2]["action"]["backends"][0]["upstream"], "orders");
}

#[tokio::test]
async fn upstreams_show_their_endpoints() {
    let (shared, _requests) = shared(CONFIG);
    let endpoint = shared.metrics.endpoint("orders", "127.0.0.1:7003");
    let shard = endpoint.of(crate::observe::WorkerId(1));
    let _busy = shard.in_flight.hold();
    shard.requests.add(5);
    let router = api::router(shared, AdminTransport::Tcp);
    let shown = json(&router, "/upstreams").await;
    let upstream = &shown["upstreams"][0];
    assert_eq!(upstream["name"], "orders");
    let endpoint = &upstream["endpoints"][0];
    assert_eq!(endpoint["address"], "127.0.0.1:7003");
    assert_eq!((&endpoint["weight"], &endpoint["inFlight"]), (&Value::from(3), &Value::from(1)));
    assert_eq!(endpoint["requests"], 5);
    assert_eq!(upstream["openConnections"], 0);
}

#[tokio::test]
async fn a_reload_reports_its_result() {
    let check = async |last: LastReload, expected: u16| {
        let (shared, requests) = shared(CONFIG);
        answering(requests, last);
        let router = api::router(shared, AdminTransport::Tcp);
        let response = router.oneshot(changing("/reload")).await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
        let body: Value = serde_json::from_str(&text(response).await).unwrap();
        body
    };
    let good = LastReload { generation: 2, ..LastReload::default() };
    assert_eq!(check(good.clone(), 200).await["generation"], 2);
    let stale = vec!["/etc/b.yaml".into()];
    let partly = LastReload { problems: "b is broken".into(), stale, ..good.clone() };
    let body = check(partly, 409).await;
    assert_eq!((&body["stale"][0], &body["generation"]), (&"/etc/b.yaml".into(), &2.into()));
    let refused = LastReload { refused: true, problems: "a is broken".into(), ..good };
    assert_eq!(check(refused, 422).await["report"], "a is broken");
}

#[tokio::test]
async fn a_command_while_the_process_ends_is_refused() {
    let (shared, requests) = shared(CONFIG);
    drop(requests);
    for path in ["/reload", "/drain"] {
        let router = api::router(Arc::clone(&shared), AdminTransport::Tcp);
        let response = router.oneshot(changing(path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn readiness_ends_with_the_drain() {
    let (shared, _requests) = shared(CONFIG);
    let router = status::router(Arc::clone(&shared));
    let ready = async || {
        let request = request("GET", "/readyz").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), text(response).await)
    };
    assert_eq!(ready().await, (200, r#"{"generation":1,"ready":true}"#.to_owned()));
    shared.metrics.set_draining();
    assert_eq!(ready().await, (503, r#"{"ready":false,"reason":"draining"}"#.to_owned()));
}

#[tokio::test]
async fn metrics_are_the_exposition() {
    let (shared, _requests) = shared(CONFIG);
    let router = status::router(shared);
    let request = request("GET", "/metrics").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], prometheus::TEXT_FORMAT);
    assert!(text(response).await.contains("portcullis_build_info"));
}

#[tokio::test]
async fn a_body_is_bounded() {
    let (shared, mut requests) = shared(CONFIG);
    let router = api::router(shared, AdminTransport::Tcp);
    let mut large = changing("/drain");
    *large.body_mut() = Body::from(vec![b'x'; 4097]);
    let response = router.clone().oneshot(large).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(requests.try_recv().is_err());
    let mut small = changing("/drain");
    *small.body_mut() = Body::from(vec![b'x'; 4096]);
    assert_eq!(router.oneshot(small).await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_answered() {
    let (shared, _requests) = shared(CONFIG);
    let router = api::router(shared, AdminTransport::Tcp);
    let response = router.oneshot(changing("/reload")).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn the_page_loads_only_what_is_served_here() {
    let (shared, _requests) = shared(CONFIG);
    let router = api::router(shared, AdminTransport::Tcp);
    let request = request("GET", "/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    let page = text(response).await;
    assert!(!page.contains("//") && !page.contains("style=") && !page.contains(" on"), "{page}");
}

#[tokio::test]
async fn those_who_do_not_read_hold_a_bounded_number_of_answers() {
    let (shared, _requests) = shared(CONFIG);
    let router = api::router(Arc::clone(&shared), AdminTransport::Tcp);
    let send = |path: &str| {
        let request = request("GET", path).body(Body::empty()).unwrap();
        router.clone().oneshot(request)
    };
    let mut unread = Vec::new();
    for _ in 0..shared.turns() {
        unread.push(send("/metrics").await.unwrap());
    }
    assert_eq!(shared.turns(), 0);
    let mut waiting = std::pin::pin!(send("/routes"));
    let at_once = std::time::Duration::ZERO;
    assert!(tokio::time::timeout(at_once, waiting.as_mut()).await.is_err());
    assert_eq!(send("/livez").await.unwrap().status(), StatusCode::OK, "probes do not wait");
    text(unread.pop().unwrap()).await;
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
}
