//! What an upstream and the log learn of a client, through proxies that are believed or not.

use portcullis_testkit::http::Request;
use portcullis_testkit::origin::ScriptedOrigin;
use serde_json::Value;

use crate::harness::{Gate, Settings, always, get};

/// One request with these header lines: what the origin got, and the record.
async fn pass(settings: Settings, headers: &[&str]) -> (Request, Value) {
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut client = gate.client().await;
    client.send(get("/", headers).as_bytes()).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200);
    drop(client);
    let record = gate.records().await.remove(0);
    (origin.requests().remove(0), record)
}

/// The values of a header, joined.
fn seen(request: &Request, name: &str) -> String {
    request.headers.all(name).collect::<Vec<_>>().join(" | ")
}

fn listener(listener: &'static str) -> Settings {
    Settings { listener, ..Settings::default() }
}

const TRUSTING: &str = "trustedProxies: [127.0.0.0/8, 10.0.0.0/8]";
const CLAIMS: [&str; 10] = [
    "X-FORWARDED-FOR: 6.6.6.6, 203.0.113.5",
    "x-forwarded-for: 10.1.1.1",
    "x-forwarded-proto: https",
    "x-forwarded-host: shop.example",
    "x-forwarded-port: 8443",
    "x-forwarded-client-cert: Subject=\"CN=admin\"",
    "x-forwarded-user: admin",
    "forwarded: for=8.8.8.8",
    "x-real-ip: 9.9.9.9",
    "x-request-id: given-by-the-edge",
];
/// What may only stay where a trusted peer said it.
const NAMES: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-request-id",
    "x-forwarded-client-cert",
    "x-forwarded-user",
    "forwarded",
    "x-real-ip",
];

#[tokio::test]
async fn a_stranger_is_told_as_it_is_seen_whatever_it_claims() {
    for settings in [Settings::default(), listener("trustedProxies: [10.0.0.0/8, \"::1\"]")] {
        let (request, record) = pass(settings, &CLAIMS).await;
        let id = record["request_id"].as_str().unwrap();
        let told = NAMES.map(|name| seen(&request, name));
        assert_eq!(told, ["127.0.0.1", "http", "a.test", "", id, "", "", "", ""]);
        assert_eq!(id.len(), 36);
        assert!(record["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
        assert!(record.get("peer").is_none(), "{record}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_joins_the_chain() {
    let chain = "6.6.6.6, 203.0.113.5, 10.1.1.1, 127.0.0.1";
    for (trust, client) in [
        (TRUSTING, "203.0.113.5"),
        ("trustedHops: 1", "10.1.1.1"),
        ("trustedHops: 2", "203.0.113.5"),
    ] {
        let (request, record) = pass(listener(trust), &CLAIMS).await;
        let told = NAMES.map(|name| seen(&request, name));
        let expected =
            [chain, "https", "shop.example", "8443", "given-by-the-edge", "", "", "", ""];
        assert_eq!(told, expected, "{trust}");
        assert_eq!(record["client"], client, "{trust}");
        assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
        assert_eq!(record["request_id"], "given-by-the-edge");
    }
}

#[tokio::test]
async fn a_field_with_underscores_is_a_claim_like_any_other() {
    let claims = ["X_Forwarded_For: 6.6.6.6", "x_forwarded_client_cert: a", "X_Real_IP: 6.6.6.6"];
    for trust in ["headerUnderscores: allow", "headerUnderscores: allow, trustedHops: 1"] {
        let (request, record) = pass(listener(trust), &claims).await;
        assert_eq!(seen(&request, "x-forwarded-for"), "127.0.0.1");
        let left = request.headers.0.iter().filter(|(name, _)| name.contains('_')).count();
        assert_eq!(left, 0, "{:?}", request.headers);
        assert!(record["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

/// The blocks of a kind between the fences of the manual's page.
fn blocks(kind: &str) -> Vec<String> {
    let page = include_str!("../../../docs/forwarding.md");
    let fence = format!("```{kind}\n");
    let after = page.split(&fence).skip(1);
    after.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_example_of_the_manual_is_what_happens() {
    let example = include_str!("../../../config/examples/forwarding.yaml");
    let listener = blocks("yaml").remove(0);
    assert!(example.contains(&listener), "{listener}");
    let [sent, believed, stranger] = blocks("http").try_into().unwrap();
    for (listener, expected) in
        [(listener.trim(), believed), ("trustedProxies: [192.0.2.1]", stranger)]
    {
        let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
        let gate = Gate::of(&format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", {listener}}}\n\
             upstreams: [{{name: back, endpoints: [{{address: \"{}\"}}]}}]\n\
             routes: [{{name: all, backends: [{{upstream: back}}]}}]\n",
            origin.address()
        ))
        .await;
        let mut client = gate.client().await;
        let head = format!("GET / HTTP/1.1\nhost: shop.example.com\n{sent}\n");
        client.send(head.replace('\n', "\r\n").as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 200);
        drop(client);
        let record = gate.records().await.remove(0);
        let made = record["request_id"].as_str().unwrap();
        let request = origin.requests().remove(0);
        let told = request.headers.0.iter().filter(|(name, _)| name != "host");
        let mut told: Vec<_> = told.map(|(name, value)| format!("{name}: {value}")).collect();
        let mut expected: Vec<_> =
            expected.lines().map(|line| line.replace("(made here)", made)).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
        if made == "edge-7f3a" {
            assert_eq!(record["client"], "203.0.113.5");
            assert!(record["peer"].is_string());
        }
    }
}

/// Requests that differ in what they claim, and how many endpoints they reach of eight when the
/// upstream balances by the client's address.
async fn spread(trust: &'static str) -> usize {
    let mut origins = Vec::new();
    for _ in 0..8 {
        origins.push(ScriptedOrigin::start([always("ok")]).await.unwrap());
    }
    let addresses: Vec<_> = origins.iter().map(ScriptedOrigin::address).collect();
    let upstream = "loadBalancer: {policy: maglev, hash: {sourceIp: true}}";
    let settings = Settings { listener: trust, upstream, ..Settings::default() };
    let gate = Gate::new(settings, &addresses).await;
    let mut client = gate.client().await;
    for at in 0..64 {
        let claim = format!("x-forwarded-for: 203.0.113.{at}");
        client.send(get("/", &[&claim]).as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 200);
    }
    origins.iter().filter(|origin| !origin.requests().is_empty()).count()
}

#[tokio::test]
async fn rotating_claims_move_a_stranger_to_no_other_endpoint() {
    assert_eq!(spread("").await, 1);
    assert_eq!(spread("trustedProxies: [192.0.2.1]").await, 1);
    // The same claims by a trusted proxy are other clients.
    assert!(spread("trustedProxies: [127.0.0.1]").await > 4);
}

#[tokio::test]
async fn a_redirect_leads_to_where_the_client_was() {
    for (trust, claims, location) in [
        ("", &["x-forwarded-proto: https"][..], "http://a.test:PORT/new"),
        (TRUSTING, &["x-forwarded-proto: https"], "https://a.test/new"),
        (
            TRUSTING,
            &["x-forwarded-proto: https", "x-forwarded-port: 8443"],
            "https://a.test:8443/new",
        ),
        (TRUSTING, &[], "http://a.test:PORT/new"),
    ] {
        let gate = Gate::of(&format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", {trust}}}\n\
             routes:\n  - {{name: old, redirect: {{path: /new}}}}\n"
        ))
        .await;
        let mut client = gate.client().await;
        client.send(get("/", claims).as_bytes()).await.unwrap();
        let response = client.response().await.unwrap();
        let expected = location.replace("PORT", &gate.address.port().to_string());
        assert_eq!(response.headers.first("location"), Some(expected.as_str()), "{claims:?}");
    }
}

#[tokio::test]
async fn a_trace_goes_on_unchanged_or_begins_anew() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let id = &PARENT[3..35];
    let parent = format!("traceparent: {PARENT}");
    let state = "tracestate: a=1";
    let long = format!("tracestate: {}", "x".repeat(513));

    for (headers, expected_state) in [
        (vec![parent.as_str()], ""),
        (vec![&parent, state], "a=1"),
        (vec![&parent, state, "TraceState: b=2"], "a=1 | b=2"),
        (vec![&parent, &long], ""),
    ] {
        let (request, record) = pass(Settings::default(), &headers).await;
        assert_eq!(seen(&request, "traceparent"), PARENT);
        assert_eq!(seen(&request, "tracestate"), expected_state);
        assert_eq!(record["trace_id"], id);
    }
    let upper = parent.to_uppercase();
    let short = &parent[..parent.len() - 1];
    let zero = parent.replace(id, &"0".repeat(32));
    let version = parent.replace(" 00-", " ff-");
    for headers in [
        vec![],
        vec![state],
        vec![&parent, &parent, state],
        vec![upper.as_str(), state],
        vec![short, state],
        vec![&zero, state],
        vec![&version, state],
    ] {
        let (request, record) = pass(Settings::default(), &headers).await;
        let begun = seen(&request, "traceparent");
        assert!(begun.len() == 55 && begun.starts_with("00-") && begun.ends_with("-01"), "{begun}");
        assert_eq!(record["trace_id"], begun[3..35], "{headers:?}");
        assert_ne!(&begun[3..35], id);
        assert_eq!(seen(&request, "tracestate"), "", "{headers:?}");
    }
    // A route may keep the trace to itself.
    let silent =
        Settings { route: "requestHeaders: {remove: [traceparent]}", ..Settings::default() };
    let (request, _) = pass(silent, &[]).await;
    assert_eq!(seen(&request, "traceparent"), "");
}

#[tokio::test]
async fn a_head_that_was_not_read_has_no_trace() {
    let gate = Gate::of(
        "listeners:\n  - {name: front, address: \"127.0.0.1:0\"}\n\
         routes:\n  - {name: old, reply: {body: \"ok\"}}\n",
    )
    .await;
    let mut client = gate.client().await;
    client.send(b"nonsense\r\n\r\n").await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 400);
    drop(client);
    assert!(gate.records().await[0].get("trace_id").is_none());
}

/// Also where no login is asked for: the upstream trusts the header on every route.
#[tokio::test]
async fn no_client_can_say_who_it_is_by_the_header_of_a_policy() {
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let users = tempfile::tempdir().unwrap();
    let file = users.path().join("users");
    std::fs::write(&file, "ada:{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=\n").unwrap();
    let gate = Gate::of(&format!(
        "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", headerUnderscores: allow, \
         basicAuth: {{file: {}, forwardUser: x-user}}}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{}\"}}]}}\n\
         routes:\n  - {{name: open, match: {{path: {{prefix: /open}}}}, basicAuth: disabled, \
         backends: [{{upstream: back}}]}}\n  \
         - {{name: closed, backends: [{{upstream: back}}]}}\n",
        file.display(),
        origin.address(),
    ))
    .await;
    let mut client = gate.client().await;
    for (path, login) in [("/open", ""), ("/", "authorization: Basic YWRhOnNlY3JldA==")] {
        let claims = ["x-user: root", "X_User: root", "x.user: root"];
        let lines: Vec<_> = claims.into_iter().chain([login]).filter(|it| !it.is_empty()).collect();
        client.send(get(path, &lines).as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 200, "{path}");
    }
    let requests = origin.requests();
    let users: Vec<_> = requests
        .iter()
        .map(|request| {
            let lines =
                request.headers.0.iter().filter(|(name, _)| {
                    name.to_ascii_lowercase().replace(['_', '.'], "-") == "x-user"
                });
            lines.map(|(_, value)| value.to_owned()).collect::<Vec<_>>().join(",")
        })
        .collect();
    assert_eq!(users, ["", "ada"]);
}
