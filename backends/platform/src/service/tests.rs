//! The platform around a service of four routes, by `oneshot` and over real sockets.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::post;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt;

use crate::database::Database;
use crate::extract::JsonBody;
use crate::request::RequestContext;
use crate::settings::ServerOptions;
use crate::testing::within;

use super::*;

mod background;

async fn service(routes: Router) -> Service {
    let database = Database::open(":memory:", &[]).await.unwrap();
    Service::new("test", routes, database, Registry::new())
}

fn routes() -> Router {
    Router::new()
        .route("/items/{id}", get(|| async { "item" }))
        .route("/echo", post(|JsonBody(text): JsonBody<String>| async move { text }))
        .route("/panic", get(|| async { panic!("secret of the house") as () }))
        .route("/never", get(|| async { std::future::pending::<()>().await }))
}

async fn call(app: &Router, request: Request) -> (StatusCode, HeaderMap, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn request(method: &str, path: &str) -> Request {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn failures_are_problems_that_tell_nothing_of_the_inside() {
    let options = ServerOptions { body_limit: 16, ..ServerOptions::default() };
    let app = service(routes()).await.router(&options).unwrap();
    let post = |kind: &str, body: &str| {
        let body = Body::from(body.to_owned());
        Request::builder().method("POST").uri("/echo").header("content-type", kind).body(body)
    };
    let json = "application/json";
    for (request, status, code) in [
        (request("GET", "/nothing"), 404, "not-found"),
        (request("DELETE", "/items/1"), 405, "method-not-allowed"),
        (request("GET", "/panic"), 500, "internal"),
        (post(json, "\"open").unwrap(), 400, "invalid-json"),
        (post(json, "7").unwrap(), 422, "invalid-body"),
        (post("text/plain", "\"a\"").unwrap(), 415, "unsupported-media-type"),
        (post(json, "\"seventeen bytes\"").unwrap(), 413, "body-too-large"),
    ] {
        let (found, headers, body) = call(&app, request).await;
        assert_eq!(found.as_u16(), status, "{code}");
        assert_eq!(headers["content-type"], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(!body.contains("secret"), "{body}");
        assert!(headers.contains_key("x-request-id") && headers.contains_key("traceparent"));
    }
    let (_, headers, _) = call(&app, request("DELETE", "/items/1")).await;
    assert_eq!(headers["allow"], "GET,HEAD");
    let (status, _, body) = call(&app, post(json, "\"fits in here\"").unwrap()).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "fits in here"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let app = service(routes()).await.router(&ServerOptions::default()).unwrap();
    // Only now: SQLite's thread does not live in paused time.
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let (status, _, body) = call(&app, request("GET", "/never")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("timeout"));
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn identity_is_passed_on_and_echoed() {
    let see = |request: Request| async move {
        let context: RequestContext = request.extensions().get().cloned().unwrap();
        format!("{} {}", context.request_id(), context.traceparent())
    };
    let app = service(Router::new().route("/who", get(see))).await;
    let app = app.router(&ServerOptions::default()).unwrap();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let mut sent = request("GET", "/who");
    sent.headers_mut().insert("x-request-id", "abc-1".parse().unwrap());
    sent.headers_mut().insert("traceparent", parent.parse().unwrap());
    let (_, headers, body) = call(&app, sent).await;
    assert_eq!(body, format!("abc-1 {parent}"));
    assert_eq!(headers["x-request-id"], "abc-1");
    assert_eq!(headers["traceparent"], parent);
}

#[tokio::test]
async fn metrics_count_by_template_and_never_by_what_a_client_makes_up() {
    let app = service(routes()).await.router(&ServerOptions::default()).unwrap();
    for path in ["/items/1", "/items/2", "/made/up", "/made/up/too", "/panic"] {
        call(&app, request("GET", path)).await;
    }
    call(&app, request("BREW", "/items/1")).await;
    // A client that leaves: its request is dropped while the handler waits.
    let left = tokio::spawn(app.clone().oneshot(request("GET", "/never")));
    tokio::task::yield_now().await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    let (_, headers, text) = call(&app, request("GET", "/metrics")).await;
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4");
    for line in [
        r#"shop_http_requests_total{method="GET",route="/items/{id}",status="200"} 2"#,
        r#"shop_http_requests_total{method="GET",route="unmatched",status="404"} 2"#,
        r#"shop_http_requests_total{method="GET",route="/panic",status="500"} 1"#,
        r#"shop_http_requests_total{method="other",route="/items/{id}",status="405"} 1"#,
        r#"shop_http_requests_total{method="GET",route="/never",status="499"} 1"#,
        r#"shop_http_request_duration_seconds_count{method="GET",route="/items/{id}"} 2"#,
        "shop_http_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("made"));
}

#[tokio::test]
async fn readiness_follows_the_database_and_health_does_not() {
    let service = service(Router::new()).await;
    let database = service.database.clone();
    let app = service.router(&ServerOptions::default()).unwrap();
    assert_eq!(call(&app, request("GET", "/readyz")).await.0, StatusCode::OK);
    database.close().await;
    let (status, _, body) = call(&app, request("GET", "/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("not-ready"));
    assert_eq!(call(&app, request("GET", "/healthz")).await.0, StatusCode::OK);
}

/// A service whose one handler reports that it was reached and answers when it is told to.
struct Running {
    address: SocketAddr,
    reached: mpsc::Receiver<oneshot::Sender<()>>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<server::Drained>,
}

async fn running(options: ServerOptions) -> Running {
    let (report, reached) = mpsc::channel(8);
    let wait = move || {
        let report = report.clone();
        async move {
            let (release, released) = oneshot::channel();
            report.send(release).await.unwrap();
            released.await.unwrap();
            "done"
        }
    };
    let (stop, stopped) = oneshot::channel();
    let service = service(Router::new().route("/wait", get(wait))).await;
    let listen = "127.0.0.1:0".parse().unwrap();
    let shutdown = Box::pin(async { drop(stopped.await) });
    let bound = service.bind(listen, &options, shutdown).await.unwrap();
    Running { address: bound.address, reached, stop, ended: tokio::spawn(bound.run) }
}

async fn send(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn a_request_in_flight_is_answered_while_idle_connections_close() {
    let mut service = running(ServerOptions::default()).await;
    let mut idle = send(service.address).await;
    within("a request in flight", service.reached.recv()).await.unwrap().send(()).unwrap();
    let mut head = [0; 17];
    idle.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK\r\n");
    let mut busy = send(service.address).await;
    let release = within("a request in flight", service.reached.recv()).await.unwrap();

    service.stop.send(()).unwrap();
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("done"), "the idle connection closes cleanly: {rest}");
    assert!(TcpStream::connect(service.address).await.is_err(), "no longer accepting");

    release.send(()).unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(within("the end", service.ended).await.unwrap(), server::Drained { cut: 0 });
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_is_cut() {
    let options = ServerOptions { drain_timeout: Duration::from_millis(20), ..Default::default() };
    let mut service = running(options).await;
    let mut stuck = send(service.address).await;
    let _release = within("a request in flight", service.reached.recv()).await.unwrap();
    service.stop.send(()).unwrap();
    assert_eq!(within("the end", service.ended).await.unwrap(), server::Drained { cut: 1 });
    let mut answer = Vec::new();
    let read = stuck.read_to_end(&mut answer).await;
    assert!(read.is_err() || answer.is_empty());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_slot() {
    let options = ServerOptions { max_connections: 1, ..Default::default() };
    let mut service = running(options).await;
    let first = send(service.address).await;
    let release = within("a request in flight", service.reached.recv()).await.unwrap();
    let mut second = send(service.address).await;
    tokio::task::yield_now().await;
    assert!(service.reached.try_recv().is_err(), "the second is not accepted yet");
    release.send(()).unwrap();
    drop(first);
    within("a request in flight", service.reached.recv()).await.unwrap().send(()).unwrap();
    let mut head = [0; 17];
    second.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK\r\n");
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let service_one = running(ServerOptions::default()).await;
    let another = service(Router::new()).await;
    let shutdown = Box::pin(std::future::pending());
    let bound = another.bind(service_one.address, &ServerOptions::default(), shutdown).await;
    let error = bound.err().unwrap();
    assert!(error.to_string().contains(&service_one.address.to_string()));
    assert!(!error.is_usage());
}
