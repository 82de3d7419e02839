//! Every failure leaves a line that names its cause: what the access log alone must tell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::ca::{Authority, Leaf, PemDirectory};
use portcullis_testkit::h2::H2Client;
use portcullis_testkit::h2::frame::{END_HEADERS, END_STREAM, block, headers};
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Gate, Settings, Sink, always, get, message, within};

/// One fault: how the gateway is set up, what a client sends, and what its line must say.
struct Fault {
    what: &'static str,
    settings: Settings,
    origin: Script,
    send: Vec<u8>,
    line: Value,
}

fn fault(what: &'static str, send: impl AsRef<[u8]>, line: Value) -> Fault {
    let send = send.as_ref().to_vec();
    Fault { what, settings: Settings::default(), origin: always("ok"), send, line }
}

impl Fault {
    fn listener(mut self, yaml: &'static str) -> Self {
        self.settings.listener = yaml;
        self
    }

    fn upstream(mut self, yaml: &'static str) -> Self {
        self.settings.upstream = yaml;
        self
    }

    fn route(mut self, yaml: &'static str) -> Self {
        self.settings.route = yaml;
        self
    }

    fn origin(mut self, script: Script) -> Self {
        self.origin = script;
        self
    }

    /// The origin reads the request, says this and closes.
    fn answers(self, bytes: impl AsRef<[u8]>) -> Self {
        self.origin(Script::new().request().send(bytes).close())
    }
}

/// Whether the line says all that is wanted; of `detail` a part is enough.
fn differences(line: &Value, wanted: &Value) -> Vec<String> {
    let differs = |(name, wanted): (&String, &Value)| {
        let found = &line[name];
        let same = match (name.as_str(), wanted.as_str(), found.as_str()) {
            ("detail", Some(part), Some(whole)) => whole.contains(part),
            _ => found == wanted,
        };
        (!same).then(|| format!("{name} is {found}, ought to be {wanted}"))
    };
    wanted.as_object().unwrap().iter().filter_map(differs).collect()
}

async fn check(faults: Vec<Fault>) {
    let mut wrong = Vec::new();
    for fault in faults {
        let origin = ScriptedOrigin::start([fault.origin]).await.unwrap();
        let gate = Gate::new(fault.settings, &[origin.address()]).await;
        let line = one_line(gate, &fault.send).await;
        let found = differences(&line, &fault.line);
        if !found.is_empty() {
            wrong.push(format!("{}:\n  {}\n  {line}", fault.what, found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The line of the one request that the bytes are.
async fn one_line(gate: Gate, send: &[u8]) -> Value {
    let mut client = gate.client().await;
    client.send(send).await.unwrap();
    let _ = client.final_response().await;
    drop(client);
    let mut records = gate.records().await;
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

#[tokio::test]
async fn a_refused_head_is_named_as_far_as_it_was_read_and_with_its_rule() {
    let named = |detail: &str| {
        json!({"method": "GET", "host": "a.test", "path": "/p", "status": 400, "attempts": 0,
               "reason": "bad-request", "answered_by": "gateway", "detail": detail})
    };
    let refused = |reason: &str, detail: &str| json!({"reason": reason, "detail": detail});
    let underscore = named("underscore (headerUnderscores)");
    let form = ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let chunked = message("POST / HTTP/1.1", &["transfer-encoding: chunked"], "zz\r\n");
    let large = message("POST / HTTP/1.1", &["content-length: 100"], "");
    let long = get(&format!("/{}", "u".repeat(2_000)), &[]);
    check(vec![
        fault("an underscore", get("/p", &["X_Tenant: 7"]), underscore),
        fault(
            "two lengths",
            get("/p", &["content-length: 1"; 2]),
            named("Content-Length appears twice"),
        ),
        fault(
            "length and coding",
            get("/p", &["content-length: 1", "transfer-encoding: chunked"]),
            named("are both present"),
        ),
        fault(
            "a space before the colon",
            get("/p", &["a : b"]),
            named("white space before its colon"),
        ),
        fault("a fold", get("/p", &["a: b", " c"]), named("obsolete line folding")),
        fault("a bare LF", get("/p", &["a: b\nc: d"]), named("LF alone")),
        fault(
            "TLS to a plain port",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            refused("bad-request", "a TLS handshake was sent to a listener without TLS"),
        ),
        fault("HTTP/2 to HTTP/1", preface, refused("bad-request", "speaks HTTP/1 alone"))
            .listener("protocols: [http1]"),
        fault("%2f", get("/a%2fb", &[]), refused("bad-path", "allowEncodedSlash")),
        fault("above the root", get("/../x", &[]), refused("bad-path", "above its root")),
        fault("a chunk size", chunked, refused("bad-request", "a chunk size is not")),
        fault("a large body", large, refused("body-too-large", "requestLimits.body"))
            .listener("requestLimits: {body: 10B}"),
        fault("a long target", long, refused("uri-too-long", "requestLimits.uri"))
            .listener("requestLimits: {uri: 1KiB}"),
        fault("no key", get("/", &form), refused("websocket-handshake", "Sec-WebSocket-Key is"))
            .listener("upgrades: [websocket]"),
    ])
    .await;
}

#[tokio::test]
async fn a_refused_head_of_http2_is_named_too() {
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    for (what, field, reason, detail) in [
        ("an underscore", ("x_tenant", "7"), "bad-request", "underscore (headerUnderscores)"),
        ("white space", ("x-y", " z"), "bad-request", "begins or ends with white space"),
    ] {
        let gate = Gate::new(Settings::default(), &[origin.address()]).await;
        let mut client = H2Client::open(gate.address, None, &[]).await.unwrap();
        let head = headers(
            1,
            END_HEADERS | END_STREAM,
            block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a.test"),
                (":path", "/p?q"),
                field,
            ]),
        );
        client.send(&head).await.unwrap();
        client.until(|seen| seen.ended().is_some()).await.unwrap();
        drop(client);
        let line = gate.records().await.remove(0);
        let wanted = json!({"method": "GET", "host": "a.test", "path": "/p", "query": "q", "status": 400,
                            "protocol": "HTTP/2", "reason": reason, "detail": detail});
        assert_eq!(differences(&line, &wanted), [""; 0], "{what}: {line}");
    }
}

#[tokio::test]
async fn a_request_without_a_route_names_what_no_route_has() {
    let blocks = "listeners:\n  - {name: front, address: \"127.0.0.1:0\"}\n  - {name: other, address: \"127.0.0.1:0\"}\n\
        routes:\n  - {name: one, listeners: [front], match: {hosts: [a.test], path: {prefix: /p}, methods: [GET]}, reply: {status: 200}}\n  \
        - {name: two, listeners: [front], match: {hosts: [a.test], path: {prefix: /h}, headers: [{name: x-v, exact: \"2\"}]}, reply: {status: 200}}\n  \
        - {name: three, listeners: [other], match: {hosts: [a.test], path: {prefix: /o}}, reply: {status: 200}}\n";
    for (request, detail) in [
        (get("/p", &[]).replace("a.test", "b.test"), "no route for this host"),
        (get("/q", &[]), "no route of this host has this path"),
        (get("/p", &[]).replace("GET", "PUT"), "take other methods"),
        (get("/h", &[]), "ask for other headers"),
        (get("/o", &[]), "only another listener has a route"),
    ] {
        let line = one_line(Gate::of(blocks).await, request.as_bytes()).await;
        let wanted = json!({"status": 404, "reason": "no-route", "route": null, "detail": detail});
        assert_eq!(differences(&line, &wanted), [""; 0], "{line}");
    }
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n";
const WEBSOCKET: [&str; 4] = [
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn reset(detail: &str) -> Value {
    json!({"status": 502, "reason": "upstream-reset", "answered_by": "gateway", "attempts": 1,
           "detail": detail})
}

fn protocol(detail: &str) -> Value {
    json!({"status": 502, "reason": "upstream-protocol", "answered_by": "gateway",
           "detail": detail})
}

/// A GET whose line is to say this.
fn asked(what: &'static str, line: Value) -> Fault {
    fault(what, get("/", &[]), line)
}

#[tokio::test]
async fn an_endpoint_that_ends_the_connection_is_told_apart() {
    check(vec![
        asked("it closes", reset("closed the connection without a response"))
            .origin(Script::new().request().close()),
        asked("it resets", reset("reset the connection")).origin(Script::new().request().reset()),
        asked("half a head", reset("inside of a head")).answers("HTTP/1.1 200 OK\r\ncont"),
        asked("it hangs up on HTTP/2", reset("check the upstream's protocol"))
            .upstream("protocol: http2")
            .route("retry: {retries: 0}")
            .origin(Script::new().close()),
    ])
    .await;
}

#[tokio::test]
async fn a_response_that_breaks_a_rule_names_it() {
    let status = |status, line: Value| {
        let mut line = line;
        line["status"] = json!(status);
        line["reason"] = Value::Null;
        line["answered_by"] = json!("origin");
        line
    };
    let refused = json!({"upgrade": "websocket", "detail": "the origin refused the WebSocket"});
    let tls = protocol("the endpoint speaks TLS and the upstream has no tls");
    let http1 = protocol("the endpoint speaks HTTP/1 and the upstream has protocol: http2");
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx";
    check(vec![
        asked("it answers in TLS", tls).answers(b"\x15\x03\x01\0\x02\x02\x46"),
        asked("it answers in HTTP/2", protocol("the upstream has no protocol: http2"))
            .answers(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80"),
        asked("it speaks HTTP/1 alone", http1)
            .upstream("protocol: http2")
            .origin(Script::new().send("HTTP/1.1 400 Bad Request\r\n\r\n").stall()),
        asked("two lengths", protocol("Content-Length appears twice")).answers(two),
        asked("a bad header", protocol("control byte"))
            .answers("HTTP/1.1 200 OK\r\nx: \x01\r\n\r\n"),
        asked("no status line", protocol("status line")).answers("hello\r\n\r\n"),
        asked("an unasked switch", protocol("did not ask for it")).answers(format!("{SWITCH}\r\n")),
        fault("a wrong accept", get("/", &WEBSOCKET), protocol("not answer the WebSocket"))
            .listener("upgrades: [websocket]")
            .answers(format!("{SWITCH}sec-websocket-accept: AAAA\r\n\r\n")),
        fault("a refused WebSocket", get("/", &WEBSOCKET), status(403, refused))
            .listener("upgrades: [websocket]")
            .answers("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"),
        asked("a 503 of its own", status(503, json!({"detail": null})))
            .answers("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_time_that_is_over_is_named_by_its_key() {
    let late = |detail| json!({"status": 504, "reason": "upstream-timeout", "detail": detail});
    check(vec![
        asked("within a try", late("timeouts.perTry"))
            .route("timeouts: {response: 30s, perTry: 100ms}")
            .origin(Script::new().request().stall()),
        asked("at all", late("timeouts.response"))
            .route("timeouts: {response: 100ms}")
            .origin(Script::new().request().stall()),
    ])
    .await;
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_says_why() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (endpoint, wanted) in [
        (
            format!("{{address: \"{gone}\"}}"),
            json!({"status": 503, "reason": "upstream-connect-failed", "attempts": 2,
                   "endpoint": gone.to_string(), "detail": "refused the connection"}),
        ),
        (
            "{address: \"unix:/nowhere/app.sock\"}".to_owned(),
            json!({"reason": "upstream-connect-failed", "detail": "does not exist"}),
        ),
        (
            "{dns: nowhere.invalid, port: 80}".to_owned(),
            json!({"reason": "no-endpoint", "upstream": "back", "endpoint": null, "attempts": 0,
                   "detail": "nowhere.invalid"}),
        ),
    ] {
        let gate = Gate::with_endpoints(Settings::default(), &endpoint).await;
        let line = one_line(gate, get("/", &[]).as_bytes()).await;
        assert_eq!(differences(&line, &wanted), [""; 0], "{endpoint}: {line}");
    }
}

/// A server under TLS that answers every request.
async fn tls_server(config: ServerConfig) -> SocketAddr {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = [0; 1024];
                if stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    address
}

fn shows(leaf: &Leaf) -> ServerConfig {
    let config = ServerConfig::builder().with_no_client_auth();
    config.with_single_cert(leaf.chain_der(), leaf.key_der()).unwrap()
}

#[tokio::test]
async fn what_is_wrong_with_the_tls_of_an_endpoint_is_told_apart() {
    portcullis_proxy::tls::install_provider();
    let (authority, stranger) = (Authority::root("ours"), Authority::root("a stranger"));
    let files = PemDirectory::create();
    let ca = files.write("ca.pem", authority.certificate_pem());
    let good = authority.server("a.test").issue();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate_der()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let demanding = ServerConfig::builder().with_client_cert_verifier(verifier);
    let demanding = demanding.with_single_cert(good.chain_der(), good.key_der()).unwrap();
    let plain = Script::new().head().send("HTTP/1.1 400 Bad Request\r\n\r\n").close();
    let plain = ScriptedOrigin::start([
        Script::new().send("HTTP/1.1 400 Bad Request\r\n\r\n").close(),
        plain,
    ])
    .await
    .unwrap();
    let failed = |detail: &str| {
        json!({"status": 502, "reason": "upstream-tls-failed", "answered_by": "gateway",
               "attempts": 1, "detail": detail})
    };
    for (what, address, wanted) in [
        (
            "another name",
            tls_server(shows(&authority.server("b.test").issue())).await,
            failed("is not for a.test but for: "),
        ),
        (
            "another authority",
            tls_server(shows(&stranger.server("a.test").issue())).await,
            failed("an authority that tls.caFile does not hold"),
        ),
        (
            "expired",
            tls_server(shows(&authority.server("a.test").expired().issue())).await,
            failed("has expired"),
        ),
        (
            "not for servers",
            tls_server(shows(&authority.client("a.test").name("a.test").issue())).await,
            failed("not one for servers"),
        ),
        ("no TLS", plain.address(), failed("does not speak TLS")),
        (
            "a client certificate",
            tls_server(demanding).await,
            json!({"status": 502, "reason": "upstream-reset", "detail": "it asks for a client certificate"}),
        ),
        (
            "nothing wrong",
            tls_server(shows(&good)).await,
            json!({"status": 200, "reason": null, "detail": null}),
        ),
    ] {
        let gate = Gate::of(&format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\"}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{address}\"}}], tls: {{caFile: {}, serverName: a.test}}}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}], retry: {{retries: 0}}}}\n",
            ca.display()
        ))
        .await;
        let line = one_line(gate, get("/", &[]).as_bytes()).await;
        assert_eq!(differences(&line, &wanted), [""; 0], "{what}: {line}");
    }
}

#[tokio::test]
async fn a_request_that_never_left_the_queue_was_no_attempt() {
    let sink = Sink::new().await;
    let gate = Gate::of(&format!(
        "listeners:\n  - {{name: front, address: \"127.0.0.1:0\"}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{}\"}}], concurrency: {{maxConnections: 1, maxPending: 1}}}}\n\
         routes:\n  - {{name: slow, match: {{path: {{exact: /1}}}}, backends: [{{upstream: back}}]}}\n  \
         - {{name: rest, backends: [{{upstream: back}}], timeouts: {{response: 300ms}}}}\n",
        sink.address()
    ))
    .await;
    let mut first = gate.client().await;
    first.send(get("/1", &[]).as_bytes()).await.unwrap();
    let mut held = sink.accept().await;
    let mut second = gate.client().await;
    second.send(get("/2", &[]).as_bytes()).await.unwrap();
    gate.metric_is("portcullis_upstream_pending_requests", &["back"], 1.0).await;
    let mut third = gate.client().await;
    third.send(get("/3", &[]).as_bytes()).await.unwrap();
    assert_eq!(within(third.response()).await.unwrap().status, 503);
    assert_eq!(within(second.response()).await.unwrap().status, 503);
    held.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(within(first.response()).await.unwrap().status, 200);
    assert_eq!(gate.metric("portcullis_endpoint_requests_total", &["back"]), 1.0);
    drop((first, second, third));
    let records = gate.records().await;
    let line = |path: &str| records.iter().find(|record| record["path"] == path).unwrap();
    let unsent = |reason: &str, detail: &str| {
        json!({"status": 503, "reason": reason, "detail": detail, "attempts": 0, "endpoint": null,
               "upstream": "back"})
    };
    for (path, wanted) in [
        ("/3", unsent("upstream-overflow", "concurrency.maxPending")),
        ("/2", unsent("pool-timeout", "concurrency.maxConnections")),
        ("/1", json!({"status": 200, "reason": null, "attempts": 1})),
    ] {
        assert_eq!(differences(line(path), &wanted), [""; 0], "{}", line(path));
    }
}

#[tokio::test]
async fn a_kept_connection_that_ends_is_named_as_one() {
    let origin = ScriptedOrigin::start([Script::new().request().respond("one").request().close()])
        .await
        .unwrap();
    let gate = Gate::new(Settings::default(), &[origin.address()]).await;
    let mut client = gate.client().await;
    for status in [200, 502] {
        client.send(get("/", &[]).as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, status);
    }
    drop(client);
    let records = gate.records().await;
    assert_eq!(records[0]["detail"], Value::Null);
    assert!(
        records[1]["detail"].as_str().unwrap().ends_with("(on a kept connection)"),
        "{}",
        records[1]
    );
}

#[tokio::test]
async fn what_the_end_of_the_process_cuts_is_said() {
    let head =
        Script::new().request().send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").stall();
    for (what, script, status, answered_by) in [
        ("no head", Script::new().request().stall(), 0, Value::Null),
        ("half a body", head, 200, json!("origin")),
    ] {
        let origin = ScriptedOrigin::start([script]).await.unwrap();
        let gate = Gate::new(Settings::default(), &[origin.address()]).await;
        let mut client = gate.client().await;
        client.send(get("/", &[]).as_bytes()).await.unwrap();
        assert!(
            origin
                .until(Duration::from_secs(10), |all| all.iter().any(|it| !it.requests.is_empty()))
                .await
        );
        if status == 200 {
            gate.metric_is("portcullis_endpoint_requests_in_flight", &["back"], 1.0).await;
            let mut first = [0];
            within(client.stream().tcp().peek(&mut first)).await.unwrap();
        }
        let (whole, records) = gate.drain(Duration::from_millis(100)).await;
        assert!(!whole, "{what}");
        let wanted = json!({"status": status, "reason": "draining",
                            "answered_by": answered_by, "detail": "shutdown.drainTimeout"});
        assert_eq!(differences(&records[0], &wanted), [""; 0], "{what}: {records:?}");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_noticed_before_the_origin_answers() {
    let sink = Sink::new().await;
    let gate = Gate::new(Settings::default(), &[sink.address()]).await;
    let mut client = gate.client().await;
    client.send(get("/", &[]).as_bytes()).await.unwrap();
    let mut origin = sink.accept().await;
    crate::harness::head_of(&mut origin).await;
    client.half_close().await.unwrap();
    // A second one of the same worker is served behind the first one's end.
    let mut other = gate.client().await;
    other.send(get("/other", &[]).as_bytes()).await.unwrap();
    let mut second = sink.accept().await;
    crate::harness::head_of(&mut second).await;
    for stream in [&mut origin, &mut second] {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    }
    assert_eq!(within(client.response()).await.unwrap().status, 200);
    assert_eq!(within(other.response()).await.unwrap().status, 200);
    drop((client, other));
    let records = gate.records().await;
    let line = |path: &str| records.iter().find(|record| record["path"] == path).unwrap();
    let wanted = json!({"status": 200, "reason": null, "answered_by": "origin", "detail": "closed its side"});
    assert_eq!(differences(line("/"), &wanted), [""; 0], "{records:?}");
    assert_eq!(line("/other")["detail"], Value::Null);
}
