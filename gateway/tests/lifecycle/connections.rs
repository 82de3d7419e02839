//! Connections that end before a request: each fault leaves a line that names its cause and the
//! side where that lies, and is counted under its reason.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::ca::{Authority, Leaf};
use portcullis_testkit::client::{End, RawClient, Tls, fetch};
use portcullis_testkit::h2::H2Client;
use portcullis_testkit::h2::frame::{self, headers};
use portcullis_testkit::patience::found;
use portcullis_testkit::unverified::taking_any_certificate;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::version::TLS12;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::gateway::{FILE, Gateway};

const CONFIGURATION: &str = r#"version: v1
workers: 2
listeners:
  - {name: secure, address: "127.0.0.1:0", tls: {certificates: [CERT]}}
  - {name: strict, address: "127.0.0.1:0", tls: {certificates: [CERT], minVersion: TLSv1.3}}
  - {name: hasty, address: "127.0.0.1:0", tls: {certificates: [CERT]}, timeouts: {handshake: 300ms}}
  - name: members
    address: "127.0.0.1:0"
    tls: {certificates: [CERT], clientAuth: {mode: required, caFile: ca.pem, crlFile: ca.crl}}
  - {name: plain, address: "127.0.0.1:0", timeouts: {head: 1s}}
  - {name: small, address: "127.0.0.1:0", connectionLimits: {max: 1}}
  - {name: proxied, address: "127.0.0.1:0", proxyProtocol: require, trustedProxies: [127.0.0.1], timeouts: {head: 300ms}}
  - {name: distrusted, address: "127.0.0.1:0", proxyProtocol: require, trustedProxies: [10.0.0.0/8]}
  - {name: status, address: "127.0.0.1:0", kind: status}
routes:
  - {name: all, reply: {status: 200, body: hello}}
accessLog: {path: access.log}
"#;

static ONLY_TLS12: [&SupportedProtocolVersion; 1] = [&TLS12];

/// What is expected of one fault.
struct Fault {
    listener: &'static str,
    /// The middle of the metric's name.
    metric: &'static str,
    reason: &'static str,
    side: &'static str,
    /// What the line says besides.
    says: &'static [&'static str],
}

/// How a client of the table differs from one that is served.
struct Client<'a> {
    trusts: &'a Authority,
    name: &'static str,
    shows: Option<&'a Leaf>,
    versions: &'static [&'static SupportedProtocolVersion],
    suites: fn(&str) -> bool,
    tokens: &'static [&'static str],
}

impl<'a> Client<'a> {
    fn good(trusts: &'a Authority) -> Self {
        Self {
            trusts,
            name: "shop.example",
            shows: None,
            versions: rustls::ALL_VERSIONS,
            suites: |_| true,
            tokens: &[],
        }
    }

    fn showing(trusts: &'a Authority, leaf: &'a Leaf) -> Self {
        Self { shows: Some(leaf), ..Self::good(trusts) }
    }

    fn tls(&self) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusts.certificate_der()).unwrap();
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| (self.suites)(&format!("{:?}", suite.suite())));
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.shows {
            Some(leaf) => config.with_client_auth_cert(leaf.chain_der(), leaf.key_der()).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.tokens.iter().map(|token| token.as_bytes().to_vec()).collect();
        Tls { name: ServerName::try_from(self.name).unwrap(), config: Arc::new(config) }
    }

    /// Its first message.
    fn hello(&self) -> Vec<u8> {
        let Tls { name, config } = self.tls();
        let mut hello = Vec::new();
        ClientConnection::new(config, name).unwrap().write_tls(&mut hello).unwrap();
        hello
    }
}

/// A gateway with all listeners, of which this is the certificate.
fn start(authority: &Authority, server: &Leaf, revoked: &[&Leaf]) -> Gateway {
    let revoked: Vec<_> = revoked.iter().map(|leaf| leaf.serial()).collect();
    let certificate = "{certFile: shop.crt, keyFile: shop.key}";
    Gateway::start_with(&[
        (FILE, &CONFIGURATION.replace("CERT", certificate)),
        ("shop.crt", &server.chain_pem()),
        ("shop.key", &server.key_pem()),
        ("ca.pem", &authority.certificate_pem()),
        ("ca.crl", &authority.revoke(&revoked)),
    ])
}

/// Sends this, closes its side if it is to, and reads until the gateway closes.
async fn raw(address: SocketAddr, bytes: &[u8], closes: bool) {
    let mut client = RawClient::connect(address).await.unwrap();
    client.send(bytes).await.unwrap();
    if closes {
        client.half_close().await.unwrap();
    }
    // What was sent and not read makes the close a reset.
    let _ = client.read_to_end().await;
}

type Provoked<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_leaves_a_line_and_a_count() {
    let (ours, other) = (Authority::root("ours"), Authority::root("other"));
    let server = ours.server("shop.example").issue();
    let stranger = other.client("stranger").issue();
    let expired = ours.client("late").expired().issue();
    let early = ours.client("early").not_yet_valid().issue();
    let revoked = ours.client("revoked").issue();
    let unlisted = ours.intermediate("below").client("unlisted").issue();
    let two_names = ours.client("two").uri("spiffe://a/b").uri("spiffe://a/c").issue();
    let mut gateway = start(&ours, &server, &[&revoked]);
    let mut at = std::collections::HashMap::new();
    for listener in [
        "secure",
        "strict",
        "hasty",
        "members",
        "plain",
        "small",
        "proxied",
        "distrusted",
        "status",
    ] {
        at.insert(listener, gateway.address(listener).await);
    }
    let status = at["status"];
    let good = || Client::good(&ours);
    let to = |listener: &str, client: Client<'_>| {
        let address = at[listener];
        let tls = client.tls();
        let name = client.name;
        Box::pin(async move {
            let Ok(mut client) = RawClient::connect_tls(address, &tls).await else { return };
            // With TLS 1.3 the client is done before the server has judged it.
            let _ = client.send(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
            assert!(client.response().await.is_err(), "{name} was served");
        }) as Provoked<'_>
    };
    let sends = |listener: &str, bytes: &[u8], closes: bool| {
        let (address, bytes) = (at[listener], bytes.to_vec());
        Box::pin(async move { raw(address, &bytes, closes).await }) as Provoked<'_>
    };
    let handshake = |listener, reason, says| Fault {
        listener,
        metric: "handshake_failures",
        reason,
        side: "client",
        says,
    };
    let header = |listener, reason, says| Fault {
        metric: "proxy_header_failures",
        ..handshake(listener, reason, says)
    };
    let of_gateway = |fault: Fault| Fault { side: "gateway", ..fault };
    let hello = good().hello();
    // Without keys from its first messages on, an alert of TLS 1.3 could not be read.
    let old_hello = Client { versions: &ONLY_TLS12, ..good() }.hello();
    let members = |reason, says| handshake("members", reason, says);
    let faults: Vec<(Fault, Provoked<'_>)> = vec![
        (
            handshake("strict", "no-common-version", &["sni=\"shop.example\""]),
            to("strict", Client { versions: &ONLY_TLS12, ..good() }),
        ),
        (
            handshake("secure", "no-common-cipher", &["sni=\"shop.example\""]),
            to(
                "secure",
                Client { versions: &ONLY_TLS12, suites: |it| it.contains("RSA"), ..good() },
            ),
        ),
        (
            handshake("secure", "no-common-protocol", &["the client speaks only smtp\\\\x1b[1m"]),
            to("secure", Client { tokens: &["smtp\x1b[1m"], ..good() }),
        ),
        (members("client-certificate-missing", &[]), to("members", good())),
        (
            members("client-certificate-untrusted", &["UnknownIssuer"]),
            to("members", Client::showing(&ours, &stranger)),
        ),
        (
            members("client-certificate-expired", &["expired"]),
            to("members", Client::showing(&ours, &expired)),
        ),
        (
            members("client-certificate-not-yet-valid", &["not valid yet"]),
            to("members", Client::showing(&ours, &early)),
        ),
        (
            members("client-certificate-revoked", &["Revoked"]),
            to("members", Client::showing(&ours, &revoked)),
        ),
        (
            members("client-certificate-status-unknown", &["UnknownRevocationStatus"]),
            to("members", Client::showing(&ours, &unlisted)),
        ),
        (
            members("client-certificate-wrong-usage", &[]),
            to("members", Client::showing(&ours, &server)),
        ),
        (
            members("client-certificate-invalid", &[]),
            to("members", Client::showing(&ours, &two_names)),
        ),
        (
            of_gateway(handshake(
                "secure",
                "server-certificate-refused",
                &["alert=\"unknown_ca\"", "does not trust the authority"],
            )),
            to("secure", Client::good(&other)),
        ),
        (
            of_gateway(handshake(
                "secure",
                "no-certificate-for-name",
                &["alert=\"bad_certificate\"", "sni=\"else.example\""],
            )),
            to("secure", Client { name: "else.example", ..good() }),
        ),
        (
            of_gateway(handshake(
                "strict",
                "no-certificate-for-name",
                &["sni=\"else.example\"", "without a request"],
            )),
            Box::pin(async {
                let tls = taking_any_certificate("else.example").unwrap();
                drop(RawClient::connect_tls(at["strict"], &tls).await.unwrap());
            }),
        ),
        (
            handshake("secure", "plain-http", &["plain HTTP on a TLS listener"]),
            sends("secure", b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n", false),
        ),
        (
            handshake(
                "plain",
                "tls-on-plain-listener",
                &["sni=\"shop.example\"", "listener without TLS"],
            ),
            sends("plain", &hello, false),
        ),
        (
            handshake("hasty", "timeout", &["not done within 300ms", "client=127.0.0.1:"]),
            sends("hasty", &hello[..20], false),
        ),
        (
            handshake("secure", "client-closed", &["closed during the handshake"]),
            sends("secure", &hello[..20], true),
        ),
        (
            handshake("secure", "malformed", &["the first bytes are SSH-2.0-"]),
            sends("secure", b"SSH-2.0-OpenSSH_9.2\r\n", false),
        ),
        (
            handshake("secure", "client-alert", &["alert=\"internal_error\""]),
            Box::pin(alert(at["secure"], old_hello)),
        ),
        (header("proxied", "missing", &[]), sends("proxied", b"GET / HTTP/1.1\r\n\r\n", false)),
        (header("proxied", "malformed", &[]), sends("proxied", b"PROXY TCP4 1\r\n", false)),
        (header("proxied", "timeout", &["within 300ms"]), sends("proxied", b"PROXY ", false)),
        (header("distrusted", "untrusted", &["trusted"]), sends("distrusted", b"", false)),
        (
            of_gateway(Fault {
                metric: "refused_connections",
                ..handshake("small", "connection-limit", &["1 connections", "connectionLimits.max"])
            }),
            Box::pin(async {
                let mut first = RawClient::connect(at["small"]).await.unwrap();
                first.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
                first.response().await.unwrap();
                raw(at["small"], b"", false).await;
            }),
        ),
        (broken_off("flood", &["at last PING"]), Box::pin(ping_flood(at["plain"]))),
        (broken_off("protocol", &["last frame was DATA"]), Box::pin(stray_data(at["plain"]))),
        (broken_off("slow-head", &["within 1s"]), Box::pin(half_a_head(at["plain"]))),
    ];
    for (fault, provoked) in faults {
        provoked.await;
        let Fault { listener, metric, reason, side, says } = fault;
        let facts = [("listener", listener), ("reason", reason), ("side", side)]
            .map(|(name, value)| format!("{name}=\"{value}\""));
        let parts: Vec<_> = facts.iter().map(String::as_str).chain(says.iter().copied()).collect();
        let line = gateway.says(&parts).await;
        assert!(line.contains("client=127.0.0.1:") && line.contains("cause=\""), "{line}");
        let series = format!(
            "portcullis_listener_{metric}_total{{listener=\"{listener}\",reason=\"{reason}\"}} 1"
        );
        counts(status, &series).await;
    }
    // It was said that the limit was reached; and now that it is left.
    gateway.says(&["connections are taken again", "listener=\"small\"", "refused=1"]).await;

    // A probe that sends nothing is counted, and no line's worth.
    drop(TcpStream::connect(at["secure"]).await.unwrap());
    let probe = "handshake_failures_total{listener=\"secure\",reason=\"no-hello\"} 1";
    counts(status, &format!("portcullis_listener_{probe}")).await;
    assert!(!gateway.process.lines().iter().any(|line| line.contains("no-hello")));
}

fn broken_off(reason: &'static str, says: &'static [&'static str]) -> Fault {
    let (listener, metric, side) = ("plain", "broken_off_connections", "client");
    Fault { listener, metric, reason, side, says }
}

/// Gives up once the gateway has answered the first message.
async fn alert(address: SocketAddr, hello: Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    stream.read_u8().await.unwrap();
    stream.write_all(&[21, 3, 3, 0, 2, 2, 80]).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn ping_flood(address: SocketAddr) {
    let mut client = H2Client::open(address, None, &[]).await.unwrap();
    let ping = frame::frame(6, 0, 0, [0; 8]);
    let pings = ping.repeat(6_000);
    // The gateway stops reading, and may have closed before all of them were sent.
    let _ = client.send(&pings).await;
    let _ = client.until_end().await;
}

async fn stray_data(address: SocketAddr) {
    let mut client = H2Client::open(address, None, &[]).await.unwrap();
    client.send(&frame::data(0, 0, "x")).await.unwrap();
    let _ = client.until_end().await;
}

async fn half_a_head(address: SocketAddr) {
    let mut client = H2Client::open(address, None, &[]).await.unwrap();
    client.send(&headers(1, 0, frame::block(&[(":method", "GET")]))).await.unwrap();
    let _ = client.until_end().await;
}

/// Waits until the metrics have this line.
async fn counts(status: SocketAddr, series: &str) {
    found(async || {
        let text = fetch(status, "GET", "/metrics", &[]).await.unwrap().text();
        let said = || format!("{series} is not in {text}");
        if text.lines().any(|line| line == series) { Ok(()) } else { Err(said()) }
    })
    .await;
}

/// An HTTP client understands the answer, and no reset destroys it.
#[tokio::test]
async fn plain_http_on_a_tls_listener_is_answered() {
    let authority = Authority::root("test");
    let server = authority.server("shop.example").issue();
    let mut gateway = start(&authority, &server, &[]);
    let address = gateway.address("secure").await;
    let long = format!("POST / HTTP/1.1\r\ncontent-length: 30000\r\n\r\n{}", "x".repeat(30_000));
    for request in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", &long] {
        let mut client = RawClient::connect(address).await.unwrap();
        client.send(request.as_bytes()).await.unwrap();
        let answer = client.response().await.unwrap();
        assert_eq!((answer.status, answer.keep_alive()), (400, false));
        assert!(answer.text().contains("https"), "{}", answer.text());
        assert_eq!(client.read_to_end().await.unwrap(), (Vec::new(), End::Closed));
    }
    // Others that are not understood get an alert, or nothing.
    for (bytes, first) in [(&b"SSH-2.0-x\r\n"[..], Some(21)), (b"PRI * HTTP/2.0\r\n\r\n", None)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut seen = Vec::new();
        // What was sent and not read makes the close a reset.
        let _ = stream.read_to_end(&mut seen).await;
        assert_eq!(seen.first().copied(), first, "{seen:?}");
    }
}

/// However many clients fail, there is a line a second, and the next one says how many had none.
#[tokio::test]
async fn lines_of_one_kind_are_few() {
    let authority = Authority::root("test");
    let server = authority.server("shop.example").issue();
    let mut gateway = start(&authority, &server, &[]);
    let address = gateway.address("secure").await;
    let begun = Instant::now();
    let mut failed: u64 = 0;
    while begun.elapsed() < Duration::from_millis(2_500) || failed < 30 {
        raw(address, b"SSH-2.0-x\r\n", false).await;
        failed += 1;
    }
    let elapsed = begun.elapsed().as_secs() + 1;
    gateway.says(&["reason=\"malformed\"", "suppressed="]).await;
    let lines = gateway.process.lines();
    let lines: Vec<_> = lines.iter().filter(|it| it.contains("reason=\"malformed\"")).collect();
    assert!(lines.len() as u64 <= elapsed, "{lines:#?}");
}
