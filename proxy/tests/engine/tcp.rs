//! TCP routes: bytes both ways, the ends that a tunnel can have, and what is recorded of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portcullis_testkit::lateness::Control;
use portcullis_testkit::patience::{slowly, until};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Gate, Sink, get, head_of, rest, take, within};
use crate::upstreams::secure;

/// The page that this implements; its example is run below.
const MANUAL: &str = include_str!("../../../docs/tcp.md");

struct Keys {
    listener: &'static str,
    upstream: &'static str,
    route: &'static str,
}

const NOTHING: Keys = Keys { listener: "", upstream: "", route: "" };

async fn gate(keys: Keys, endpoints: &[SocketAddr]) -> Gate {
    let Keys { listener, upstream, route } = keys;
    let endpoints: Vec<_> =
        endpoints.iter().map(|address| format!("{{address: \"{address}\"}}")).collect();
    Gate::of(&format!(
        "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", kind: tcp, {listener}}}\n\
         upstreams:\n  - {{name: back, endpoints: [{}], {upstream}}}\n\
         routes:\n  - {{name: all, listeners: [front], backends: [{{upstream: back}}], {route}}}\n",
        endpoints.join(", ")
    ))
    .await
}

/// A port on which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// `reason received sent attempts`.
fn told(record: &Value) -> String {
    let reason = record["reason"].as_str().unwrap_or("-");
    let number = |field: &str| record[field].as_u64().unwrap();
    let (received, sent) = (number("received_bytes"), number("sent_bytes"));
    format!("{reason} {received} {sent} {}", number("attempts"))
}

#[tokio::test]
async fn bytes_pass_both_ways_and_half_close_with_them() {
    let sink = Sink::new().await;
    let gate = gate(NOTHING, &[sink.address()]).await;
    let mut client = TcpStream::connect(gate.address).await.unwrap();
    // The upstream may speak first.
    let mut server = sink.accept().await;
    server.write_all(b"220 hello\r\n").await.unwrap();
    assert_eq!(take(&mut client, 11).await, b"220 hello\r\n");
    assert_eq!(gate.metric("portcullis_upstream_active_connections", &["back"]), 1.0);
    let address = client.local_addr().unwrap();
    client.write_all(b"\0\xffquestion").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut server).await.unwrap(), b"\0\xffquestion");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(rest(&mut client).await.unwrap(), b"answer");
    gate.metric_is("portcullis_requests_total", &["all", "none"], 1.0).await;
    gate.metric_is("portcullis_upstream_active_connections", &["back"], 0.0).await;
    let opened = gate.metric("portcullis_upstream_connections_total", &["back"]);
    let closed = gate.metric("portcullis_upstream_closed_connections_total", &["back"]);
    assert_eq!((opened, closed), (1.0, 1.0));
    let records = gate.records().await;
    assert_eq!(told(&records[0]), "- 10 17 1");
    for (field, expected) in [
        ("listener", "front".into()),
        ("client", address.to_string().into()),
        ("protocol", "TCP".into()),
        ("route", "all".into()),
        ("upstream", "back".into()),
        ("endpoint", sink.address().to_string().into()),
        ("generation", Value::from(1)),
    ] {
        assert_eq!(records[0][field], expected, "{field}");
    }
    assert!(records[0]["duration_us"].as_u64() >= records[0]["connect_us"].as_u64());
}

#[tokio::test]
async fn a_client_that_address_rules_shut_out_reaches_no_upstream() {
    for (route, reason) in [
        ("addressRules: {deny: [127.0.0.0/8]}", "address-denied 0 0 0"),
        ("addressRules: {allow: [10.0.0.0/8]}", "address-denied 0 0 0"),
        ("addressRules: {allow: [127.0.0.1]}", "- 0 2 1"),
    ] {
        let sink = Sink::new().await;
        let gate = gate(Keys { route, ..NOTHING }, &[sink.address()]).await;
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        if reason.starts_with('-') {
            sink.accept().await.write_all(b"ok").await.unwrap();
            assert_eq!(rest(&mut client).await.unwrap(), b"ok");
        } else {
            assert_eq!(rest(&mut client).await.unwrap_or_default(), b"");
        }
        drop(client);
        let records = gate.records().await;
        assert_eq!(told(&records[0]), reason, "{route}");
        let detail = records[0]["detail"].as_str().unwrap_or_default();
        assert_eq!(detail.contains("addressRules"), !reason.starts_with('-'), "{detail}");
    }
}

/// Through pipes, through TLS on both sides, and where one waits for the other.
#[tokio::test]
async fn much_passes_whole_plain_and_under_tls() {
    const MUCH: usize = 3_000_000;
    let secure = secure();
    let place = secure.files.path().display();
    let tls =
        format!("tls: {{certificates: [{{certFile: {place}/a.crt, keyFile: {place}/a.key}}]}}");
    let leaf = secure.authority.server("a.test").issue();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(leaf.chain_der(), leaf.key_der()).unwrap();
    // Whoever offers HTTP is turned away.
    config.alpn_protocols = vec![b"database".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let trust = format!("tls: {{caFile: {place}/ca.pem, serverName: a.test}}");
    for (front, back) in [("", ""), (&*tls, ""), ("", &*trust), (&*tls, &*trust)] {
        let sink = Sink::new().await;
        let gate = Gate::of(&format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", kind: tcp, {front}}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{}\"}}], {back}}}\n\
             routes:\n  - {{name: all, listeners: [front], backends: [{{upstream: back}}]}}\n",
            sink.address()
        ))
        .await;
        let serve = async {
            let stream = sink.accept().await;
            match back {
                "" => echo(stream).await,
                _ => echo(acceptor.accept(stream).await.unwrap()).await,
            }
        };
        let ask = async {
            let stream = TcpStream::connect(gate.address).await.unwrap();
            match front {
                "" => converse(stream, MUCH).await,
                _ => {
                    let connector = tokio_rustls::TlsConnector::from(secure.client.config.clone());
                    let stream = connector.connect(secure.client.name.clone(), stream).await;
                    converse(stream.unwrap(), MUCH).await;
                }
            }
        };
        within(Box::pin(async { tokio::join!(serve, ask) })).await;
        let records = gate.records().await;
        assert_eq!(told(&records[0]), format!("- {MUCH} {MUCH} 1"), "{front} {back}");
        assert_eq!(records[0]["tls_version"].is_string(), !front.is_empty());
        if !front.is_empty() {
            assert_eq!(records[0]["sni"], "a.test");
        }
    }
}

async fn echo(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

async fn converse(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite, much: usize) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let bytes: Vec<u8> =
        (0..much).map(|at| u8::try_from((at * 7 + at / 999) % 256).unwrap()).collect();
    let say = async {
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let (_, read) = tokio::join!(say, reader.read_to_end(&mut heard));
    read.unwrap();
    assert!(heard == bytes);
}

/// One that HTTP has left idle has been spoken on already.
#[tokio::test]
async fn a_tunnel_has_a_connection_of_its_own() {
    let sink = Sink::new().await;
    let gate = Gate::of(&format!(
        "listeners:\n  - {{name: web, address: \"127.0.0.1:0\"}}\n  \
         - {{name: bytes, address: \"127.0.0.1:0\", kind: tcp}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{}\"}}], concurrency: {{maxConnections: 1}}}}\n\
         routes:\n  - {{name: web, backends: [{{upstream: back}}]}}\n  \
         - {{name: bytes, listeners: [bytes], backends: [{{upstream: back}}]}}\n",
        sink.address()
    ))
    .await;
    let mut web = gate.client().await;
    let ask = async {
        web.send(get("/", &[]).as_bytes()).await.unwrap();
        web.response().await.unwrap().status
    };
    let serve = async {
        let mut stream = sink.accept().await;
        head_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        stream
    };
    let (status, mut kept) = tokio::join!(ask, serve);
    assert_eq!(status, 204);
    gate.metric_is("portcullis_upstream_idle_connections", &["back"], 1.0).await;
    let mut client = TcpStream::connect(gate.address_of("bytes")).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    assert_eq!(take(&mut sink.accept().await, 5).await, b"hello");
    assert_eq!(rest(&mut kept).await.unwrap(), b"", "its place was needed");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_passed_over() {
    let sink = Sink::new().await;
    let dead = nobody().await;
    let gate = gate(NOTHING, &[dead, sink.address()]).await;
    for _ in 0..4 {
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        let mut server = sink.accept().await;
        client.write_all(b"x").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(take(&mut server, 1).await, b"x");
    }
    gate.metric_is("portcullis_requests_total", &["all"], 4.0).await;
    let retries = gate.metric("portcullis_upstream_retries_total", &["back"]);
    let refused = gate.metric("portcullis_upstream_connect_failures_total", &["back", "refused"]);
    assert!(retries >= 1.0 && retries == refused, "{retries} {refused}");
    let mut attempts = 0;
    for record in gate.records().await {
        attempts += record["attempts"].as_u64().unwrap();
        assert_eq!(record["endpoint"], sink.address().to_string(), "the last of them");
        assert_eq!(record["reason"], Value::Null);
    }
    assert_eq!(attempts as f64, 4.0 + retries);
}

#[tokio::test]
async fn who_cannot_be_served_is_closed_with_a_reason() {
    let (dead, other) = (nobody().await, nobody().await);
    let gate_of_dead = gate(NOTHING, &[dead, other]).await;
    let mut client = TcpStream::connect(gate_of_dead.address).await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    let label = "upstream-connect-failed";
    gate_of_dead.metric_is("portcullis_request_reasons_total", &["all", label], 1.0).await;
    let record = gate_of_dead.records().await.remove(0);
    assert_eq!(told(&record), "upstream-connect-failed 0 0 2");
    assert_eq!(record["detail"], "the endpoint refused the connection");

    // At the cap of the upstream.
    let sink = Sink::new().await;
    let upstream = "concurrency: {maxConnections: 1, maxPending: 0}";
    let gate = gate(Keys { upstream, ..NOTHING }, &[sink.address()]).await;
    let mut first = TcpStream::connect(gate.address).await.unwrap();
    let mut server = sink.accept().await;
    let mut second = TcpStream::connect(gate.address).await.unwrap();
    assert_eq!(rest(&mut second).await.unwrap(), b"");
    gate.metric_is("portcullis_listener_connections", &["front"], 1.0).await;
    server.write_all(b"still").await.unwrap();
    assert_eq!(take(&mut first, 5).await, b"still");
    drop((first, server));
    let records = gate.records().await;
    assert_eq!(told(&records[0]), "upstream-overflow 0 0 0");
    assert_eq!((&records[0]["upstream"], &records[0]["endpoint"]), (&"back".into(), &Value::Null));
}

#[tokio::test]
async fn a_listener_takes_no_more_than_its_limit() {
    let sink = Sink::new().await;
    let listener = "connectionLimits: {max: 1}";
    let gate = gate(Keys { listener, ..NOTHING }, &[sink.address()]).await;
    let first = TcpStream::connect(gate.address).await.unwrap();
    let server = sink.accept().await;
    let mut second = TcpStream::connect(gate.address).await.unwrap();
    assert!(rest(&mut second).await.unwrap_or_default().is_empty());
    let refused = "portcullis_listener_refused_connections_total";
    gate.metric_is(refused, &["front"], 1.0).await;
    drop((first, server));
    gate.metric_is("portcullis_listener_connections", &["front"], 0.0).await;
    let mut third = TcpStream::connect(gate.address).await.unwrap();
    third.write_all(b"x").await.unwrap();
    assert_eq!(take(&mut sink.accept().await, 1).await, b"x");
}

#[tokio::test]
async fn silence_and_age_end_a_tunnel() {
    let sink = Sink::new().await;
    let idle = gate(Keys { route: "timeouts: {idle: 1s}", ..NOTHING }, &[sink.address()]).await;
    let mut client = TcpStream::connect(idle.address).await.unwrap();
    let mut server = sink.accept().await;
    let control = Control::start();
    // Bytes of either side keep it open for longer than the time.
    let mut sent = 0;
    while control.elapsed() < Duration::from_millis(1_200) {
        slowly(Duration::from_millis(100)).await;
        server.write_all(b"x").await.unwrap();
        sent += 1;
    }
    assert_eq!(rest(&mut client).await.unwrap(), b"x".repeat(sent));
    assert_eq!(rest(&mut server).await.unwrap(), b"");
    let (elapsed, taken) = (control.elapsed(), control.taken());
    assert!(elapsed.as_millis() >= 2_100, "{elapsed:?}");
    assert!(taken.as_millis() < 4_000, "{taken:?}");
    assert_eq!(told(&idle.records().await[0]), format!("tunnel-idle 0 {sent} 1"));

    let listener = "connectionLimits: {maxAge: 400ms}";
    let aged = gate(Keys { listener, ..NOTHING }, &[sink.address()]).await;
    let mut client = TcpStream::connect(aged.address).await.unwrap();
    let mut server = sink.accept().await;
    let control = Control::start();
    let busy = async {
        while server.write_all(b"x").await.is_ok() {
            slowly(Duration::from_millis(20)).await;
        }
    };
    let (_, end) = tokio::join!(busy, rest(&mut client));
    assert_eq!(end, None, "cut in the midst of something, it does not look like its end");
    let (elapsed, taken) = (control.elapsed(), control.taken());
    assert!(elapsed.as_millis() >= 300, "{elapsed:?}");
    assert!(taken.as_millis() < 1_000, "{taken:?}");
    assert!(told(&aged.records().await[0]).starts_with("max-age 0 "));
}

#[tokio::test]
async fn a_break_of_one_side_is_one_for_the_other() {
    let sink = Sink::new().await;
    let gate = gate(NOTHING, &[sink.address()]).await;
    for client_breaks in [true, false] {
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        let mut server = sink.accept().await;
        // Until something has passed, a break could be one of the connect.
        client.write_all(b"x").await.unwrap();
        take(&mut server, 1).await;
        let (breaks, mut stays) = if client_breaks { (client, server) } else { (server, client) };
        socket2::SockRef::from(&breaks).set_linger(Some(Duration::ZERO)).unwrap();
        drop(breaks);
        assert_eq!(rest(&mut stays).await, None);
    }
    gate.metric_is("portcullis_requests_total", &["all"], 2.0).await;
    let records = gate.records().await;
    let told: Vec<_> = records.iter().map(told).collect();
    assert_eq!(told, ["client-aborted 1 0 1", "upstream-reset 1 0 1"]);
}

#[tokio::test]
async fn a_drain_lets_a_tunnel_go_on_until_its_patience_ends() {
    let sink = Sink::new().await;
    let gate = gate(NOTHING, &[sink.address()]).await;
    let address = gate.address;
    let mut ends = TcpStream::connect(address).await.unwrap();
    let mut ending = sink.accept().await;
    let mut stays = TcpStream::connect(address).await.unwrap();
    let mut staying = sink.accept().await;
    let patience = Duration::from_millis(1_500);
    let start = Instant::now();
    let talk = async {
        // Nobody is accepted any more, and what is open goes on.
        until("nobody is accepted", async || TcpStream::connect(address).await.is_err()).await;
        for _ in 0..5 {
            stays.write_all(b"x").await.unwrap();
            assert_eq!(take(&mut staying, 1).await, b"x");
        }
        ends.shutdown().await.unwrap();
        assert_eq!(rest(&mut ending).await.unwrap(), b"");
        drop(ending);
        assert_eq!(rest(&mut ends).await.unwrap(), b"");
    };
    let ((whole, records), ()) = tokio::join!(gate.drain(patience), talk);
    assert!(!whole && start.elapsed() >= patience);
    let open: Vec<_> = records.iter().filter(|record| record["received_bytes"] == 5).collect();
    assert_eq!(open.len(), 1, "{records:?}");
    assert_eq!(told(open[0]), "draining 5 0 1");
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint_by_its_address() {
    let sinks = [Sink::new().await, Sink::new().await, Sink::new().await];
    let upstream = "loadBalancer: {policy: maglev, hash: {sourceIp: true}}";
    let addresses = [0, 1, 2].map(|at: usize| sinks[at].address());
    let gate = gate(Keys { upstream, ..NOTHING }, &addresses).await;
    let mut clients = Vec::new();
    let mut served = [0; 3];
    for _ in 0..12 {
        clients.push(TcpStream::connect(gate.address).await.unwrap());
        let [one, two, three] = &sinks;
        tokio::select! {
            stream = one.accept() => { served[0] += 1; drop(stream); }
            stream = two.accept() => { served[1] += 1; drop(stream); }
            stream = three.accept() => { served[2] += 1; drop(stream); }
        }
    }
    served.sort_unstable();
    assert_eq!(served, [0, 0, 12]);
}

/// The example of the manual, with ports of the kernel's choice.
#[tokio::test]
async fn the_manuals_example_does_what_it_says() {
    let (database, shop) = (Sink::new().await, Sink::new().await);
    let example = MANUAL.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let example = example
        .replace("version: v1\n", "")
        .replace("127.0.0.1:5432", "127.0.0.1:0")
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:7432", &database.address().to_string())
        .replace("127.0.0.1:7443", &shop.address().to_string());
    let gate = Gate::of(&example).await;

    let mut client = TcpStream::connect(gate.address_of("database")).await.unwrap();
    client.write_all(b"select").await.unwrap();
    assert_eq!(take(&mut database.accept().await, 6).await, b"select");

    let hello = crate::passthrough::hello_to("eu.shop.example.com");
    let mut client = TcpStream::connect(gate.address_of("secure")).await.unwrap();
    client.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n").await.unwrap();
    client.write_all(&hello).await.unwrap();
    let mut server = shop.accept().await;
    let header = take(&mut server, 28).await;
    assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!(header[16..24], [192, 0, 2, 7, 192, 0, 2, 1]);
    assert_eq!(take(&mut server, hello.len()).await, hello);

    let mut stranger = TcpStream::connect(gate.address_of("secure")).await.unwrap();
    stranger.write_all(&hello).await.unwrap();
    assert!(rest(&mut stranger).await.unwrap_or_default().is_empty());
    let closed = "portcullis_listener_proxy_header_failures_total";
    gate.metric_is(closed, &["secure"], 1.0).await;
}
