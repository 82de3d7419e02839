//! The PROXY protocol over real sockets: who is believed, and what an upstream is told.

use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::Origin;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Gate, Settings, Sink, get, head_of, observe, rest, take, within};
use crate::upstreams::secure;

const CLOSED: &str = "portcullis_listener_proxy_header_failures_total";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xc3\x50\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const REQUIRE: &str = "proxyProtocol: require, trustedProxies: [127.0.0.1]";
const ACCEPT: &str = "proxyProtocol: accept, trustedProxies: [127.0.0.0/8]";

#[tokio::test]
async fn a_header_says_who_the_client_is_and_only_a_trusted_one_does() {
    const UNTRUSTED: &str = "proxyProtocol: accept, trustedProxies: [10.0.0.0/8]";
    const REFUSED: &str = "proxyProtocol: require, trustedProxies: [10.0.0.0/8]";
    for (what, listener, header, sees, client) in [
        ("v1", REQUIRE, V1, "200 ok, keep", "192.0.2.7:50000"),
        ("v2", REQUIRE, V2, "200 ok, keep", "192.0.2.7:50000"),
        ("local", REQUIRE, LOCAL, "200 ok, keep", "127.0.0.1"),
        ("unknown", REQUIRE, b"PROXY UNKNOWN\r\n", "200 ok, keep", "127.0.0.1"),
        ("accepted", ACCEPT, V1, "200 ok, keep", "192.0.2.7:50000"),
        ("none, accepted", ACCEPT, b"", "200 ok, keep", "127.0.0.1"),
        ("none, required", REQUIRE, b"", "close", ""),
        ("malformed, required", REQUIRE, b"PROXY TCP4 1.2.3.4\r\n", "close", ""),
        ("malformed, accepted", ACCEPT, b"PROXY TCP4 1.2.3.4\r\n", "close", ""),
        ("untrusted, required", REFUSED, V1, "close", ""),
        ("untrusted, accepted", UNTRUSTED, V1, "400 bad-request, close", "127.0.0.1"),
        ("untrusted, without", UNTRUSTED, b"", "200 ok, keep", "127.0.0.1"),
        ("disabled", "", V1, "400 bad-request, close", "127.0.0.1"),
    ] {
        let origin = Origin::start("o").await.unwrap();
        origin.record();
        let settings = Settings { listener, route: "", ..Settings::default() };
        let gate = Gate::new(settings, &[origin.address()]).await;
        let mut connection = gate.client().await;
        let request = [header, get("/bytes/2", &[]).as_bytes()].concat();
        connection.send(&request).await.unwrap();
        let seen = observe(&mut connection, false, 1).await;
        let seen = seen.replace("200 xx", "200 ok").replace("reset", "close");
        let seen = if seen.starts_with("200 ") { "200 ok, keep".to_owned() } else { seen };
        assert_eq!(seen, sees, "{what}");
        let closed = if sees == "close" { 1.0 } else { 0.0 };
        gate.metric_is(CLOSED, &["front"], closed).await;
        let forwarded: Vec<_> = origin.recorded();
        drop(connection);
        let records = gate.records().await;
        match client {
            "" => assert!(records.is_empty(), "{what}"),
            client => {
                let logged = records[0]["client"].as_str().unwrap();
                assert!(logged.starts_with(client), "{what}: {logged}");
            }
        }
        if sees.starts_with("200") {
            let ip = client.split(':').next().unwrap();
            assert_eq!(forwarded[0].headers.first("x-forwarded-for"), Some(ip), "{what}");
        }
    }
}

/// Who sends a header is one of the proxies, and the client it names is not.
#[tokio::test]
async fn a_header_counts_as_the_first_hop() {
    for (trust, expected) in [
        ("trustedProxies: [127.0.0.1]", "192.0.2.7"),
        ("trustedProxies: [127.0.0.1, 192.0.2.7]", "203.0.113.9, 192.0.2.7"),
        ("trustedHops: 1", "192.0.2.7"),
        ("trustedHops: 2", "203.0.113.9, 192.0.2.7"),
    ] {
        let origin = Origin::start("o").await.unwrap();
        origin.record();
        let gate = Gate::of(&format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", proxyProtocol: require, {trust}}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{}\"}}]}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}]}}\n",
            origin.address()
        ))
        .await;
        let mut client = gate.client().await;
        client.send(V1).await.unwrap();
        client.send(get("/", &["x-forwarded-for: 203.0.113.9"]).as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 200);
        let forwarded = origin.recorded()[0].headers.first("x-forwarded-for").map(str::to_owned);
        assert_eq!(forwarded.as_deref(), Some(expected), "{trust}");
        gate.metric_is("portcullis_upstream_active_connections", &["back"], 0.0).await;
        gate.metric_is("portcullis_upstream_idle_connections", &["back"], 1.0).await;
    }
}

#[tokio::test]
async fn a_header_may_arrive_in_pieces_and_before_tls() {
    let secure = secure();
    let place = secure.files.path().display();
    let sink = Sink::new().await;
    let gate = Gate::of(&format!(
        "listeners:\n  - {{name: plain, address: \"127.0.0.1:0\", kind: tcp, {REQUIRE}}}\n  \
         - {{name: secure, address: \"127.0.0.1:0\", {REQUIRE}, tls: {{certificates: [{{certFile: {place}/a.crt, keyFile: {place}/a.key}}]}}}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{}\"}}], proxyProtocol: v1}}\n\
         routes:\n  - {{name: all, listeners: [plain], backends: [{{upstream: back}}]}}\n  \
         - {{name: here, reply: {{body: ok}}}}\n",
        sink.address()
    ))
    .await;
    for header in [V1, V2] {
        let bytes = [header, b"hello"].concat();
        for cut in 0..bytes.len() {
            let mut client = TcpStream::connect(gate.address_of("plain")).await.unwrap();
            client.set_nodelay(true).unwrap();
            client.write_all(&bytes[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(&bytes[cut..]).await.unwrap();
            client.shutdown().await.unwrap();
            let mut server = sink.accept().await;
            // What the upstream is told is what was told here, both ends of it.
            let seen = rest(&mut server).await.unwrap();
            assert_eq!(seen, [V1, b"hello"].concat(), "cut at {cut}");
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    for header in [V1, V2] {
        let mut stream = TcpStream::connect(gate.address_of("secure")).await.unwrap();
        stream.write_all(header).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(secure.client.config.clone());
        let stream = within(connector.connect(secure.client.name.clone(), stream)).await;
        let mut stream = stream.unwrap();
        stream.write_all(get("/", &["connection: close"]).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
    let records = gate.records().await;
    let told = records.iter().filter(|record| record["client"] == "192.0.2.7:50000").count();
    assert_eq!(told, records.len());
}

#[tokio::test]
async fn a_header_must_come_in_time() {
    let origin = Origin::start("o").await.unwrap();
    for listener in [
        "proxyProtocol: require, trustedProxies: [127.0.0.1], timeouts: {head: 300ms}",
        "proxyProtocol: accept, trustedProxies: [127.0.0.1], timeouts: {head: 300ms}",
    ] {
        let settings = Settings { listener, ..Settings::default() };
        let gate = Gate::new(settings, &[origin.address()]).await;
        for sent in [&b""[..], b"PRO", &V1[..V1.len() - 1], &V2[..V2.len() - 1]] {
            let mut client = TcpStream::connect(gate.address).await.unwrap();
            client.write_all(sent).await.unwrap();
            assert!(rest(&mut client).await.unwrap_or_default().is_empty());
        }
        gate.metric_is(CLOSED, &["front"], 4.0).await;
    }
}

/// The header names one client, so no connection is used twice.
#[tokio::test]
async fn an_upstream_that_is_told_has_a_connection_for_each_request() {
    let sink = Sink::new().await;
    for (version, first) in [("v1", &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]), ("v2", &V2[..16])] {
        let upstream = match version {
            "v1" => "proxyProtocol: v1",
            _ => "proxyProtocol: v2",
        };
        let settings = Settings { upstream, ..Settings::default() };
        let gate = Gate::new(settings, &[sink.address()]).await;
        let mut client = RawClient::connect(gate.address).await.unwrap();
        for _ in 0..3 {
            let serve = async {
                let mut server = sink.accept().await;
                assert_eq!(take(&mut server, first.len()).await, first, "{version}");
                let request = head_of(&mut server).await;
                assert!(request.contains("GET / HTTP/1.1\r\n"), "{request}");
                server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                // It would be kept, and is closed by the proxy.
                assert_eq!(rest(&mut server).await.unwrap_or_default(), b"");
            };
            let ask = async {
                client.send(get("/", &[]).as_bytes()).await.unwrap();
                observe(&mut client, false, 1).await
            };
            let ((), seen) = tokio::join!(serve, ask);
            assert_eq!(seen, "200 ok, keep");
        }
        let closed = gate.metric("portcullis_upstream_closed_connections_total", &["back"]);
        assert_eq!(
            (closed, gate.metric("portcullis_upstream_idle_connections", &["back"])),
            (3.0, 0.0)
        );
    }
}

/// Under a cap of one, those who wait get a connection of their own.
#[tokio::test]
async fn those_who_wait_are_not_handed_the_connection_of_another() {
    let sink = Sink::new().await;
    let settings = Settings {
        upstream: "proxyProtocol: v1, concurrency: {maxConnections: 1, maxPending: 4}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[sink.address()]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = gate.client().await;
        client.send(get("/", &[]).as_bytes()).await.unwrap();
        clients.push(client);
    }
    let mut ports = Vec::new();
    for _ in 0..3 {
        let mut server = sink.accept().await;
        ports.push(head_of(&mut server).await.split(' ').nth(4).unwrap().to_owned());
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    }
    for client in &mut clients {
        assert_eq!(observe(client, false, 1).await, "200 ok, keep");
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3, "three clients, three headers");
}
