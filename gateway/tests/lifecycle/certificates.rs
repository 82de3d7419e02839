//! Certificates that are renewed on disk while they serve.

use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::ca::{Authority, Leaf, LeafBuilder};
use portcullis_testkit::client::{RawClient, Stream, Tls, fetch};
use portcullis_testkit::h2::frame::{self, WHOLE, headers};
use portcullis_testkit::h2::{H2Client, Seen};
use portcullis_testkit::lateness::Control;
use portcullis_testkit::load::{Load, LoadRequest};
use portcullis_testkit::origin::Origin;
use portcullis_testkit::process::Signal;
use portcullis_testkit::websocket::{self, Frame, WebSocketOrigin};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::gateway::{FILE, Gateway, closed, forwarding, replying};

fn configuration() -> String {
    replying("hello").replace(
        "kind: http}",
        "kind: http, tls: {certificates: [{certFile: shop.crt, keyFile: shop.key}]}}",
    )
}

fn start(leaf: &Leaf) -> Gateway {
    let (chain, key) = (leaf.chain_pem(), leaf.key_pem());
    Gateway::start_with(&[(FILE, &configuration()), ("shop.crt", &chain), ("shop.key", &key)])
}

fn trusting(authority: &Authority) -> Tls {
    showing(authority, None)
}

fn showing(authority: &Authority, shown: Option<&Leaf>) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some(leaf) => config.with_client_auth_cert(leaf.chain_der(), leaf.key_der()).unwrap(),
        None => config.with_no_client_auth(),
    };
    // A resumed session would show the certificate of the first one.
    config.resumption = rustls::client::Resumption::disabled();
    Tls { name: ServerName::try_from("shop.example").unwrap(), config: Arc::new(config) }
}

async fn served(address: std::net::SocketAddr, tls: &Tls) -> Vec<u8> {
    let client = RawClient::connect_tls(address, tls).await.unwrap();
    let Stream::Tls(stream) = client.stream() else { panic!("not TLS") };
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn replace(gateway: &Gateway, leaf: &Leaf) {
    gateway.process.replace_file("shop.key", &leaf.key_pem()).unwrap();
    gateway.process.replace_file("shop.crt", &leaf.chain_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_handshakes_get_the_new_certificate_and_no_connection_is_lost() {
    let authority = Authority::root("test");
    let first = authority.server("shop.example").issue();
    let second = authority.server("shop.example").issue();
    let tls = trusting(&authority);
    let mut gateway = start(&first);
    let address = gateway.address("public").await;
    assert_eq!(served(address, &tls).await, *first.chain_der()[0]);
    let closing = "GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
    let kept = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let mut requests = vec![LoadRequest::new(kept, b""); 9];
    requests.push(LoadRequest::new(closing, b""));
    let load = Load {
        tls: Some(tls.clone()),
        requests,
        ..Load::get(address, "/", 150.0, Duration::from_secs(3))
    };
    let running = load.start();
    running.ended(50).await;
    let mut idle = RawClient::connect_tls(address, &tls).await.unwrap();
    replace(&gateway, &second);
    gateway.says(&["renewed certificates serve"]).await;
    assert_eq!(served(address, &tls).await, *second.chain_der()[0]);
    idle.send(kept.as_bytes()).await.unwrap();
    assert_eq!(idle.response().await.unwrap().status, 200);
    let report = running.wait().await;
    assert_eq!(report.failed(), 0, "{report}");
}

#[tokio::test]
async fn a_corrupt_certificate_leaves_the_last_good_one() {
    let authority = Authority::root("test");
    let first = authority.server("shop.example").issue();
    let second = authority.server("shop.example").issue();
    let tls = trusting(&authority);
    let mut gateway = start(&first);
    let address = gateway.address("public").await;
    gateway.process.replace_file("shop.crt", "-----BEGIN CERTIFICATE-----\nrubbish\n").unwrap();
    gateway.says(&["last good certificate stays", "portcullis.yaml:4:"]).await;
    assert_eq!(served(address, &tls).await, *first.chain_der()[0]);
    // A reload while it is corrupt is refused as a whole.
    gateway.signal(Signal::HUP);
    gateway.says(&["last good configuration stays"]).await;
    assert_eq!(served(address, &tls).await, *first.chain_der()[0]);
    replace(&gateway, &second);
    gateway.says(&["renewed certificates serve"]).await;
    assert_eq!(served(address, &tls).await, *second.chain_der()[0]);
}

/// Before and after, of each kind, with its owner and a cure; and no more once it is renewed.
#[tokio::test]
async fn certificates_that_end_are_told() {
    const DAYS: i64 = 24 * 60 * 60;
    let authority = Authority::root("test");
    let dying = |leaf: LeafBuilder<'_>| leaf.valid(-10 * DAYS, 12).issue();
    let shop = dying(authority.server("shop.example"));
    let client = dying(authority.client("gateway"));
    let anchor = dying(authority.server("anchor.example"));
    let upstream = "upstreams:\n  - {name: orders, endpoints: [{address: \"127.0.0.1:1\"}], \
                    tls: {mode: mutual, caFile: ca.pem, certFile: me.crt, keyFile: me.key}}\nroutes:\n  \
                    - {name: orders, match: {path: {prefix: /orders}}, backends: [{upstream: orders}]}";
    let status = "  - {name: status, address: \"127.0.0.1:0\", kind: status}\n";
    let text = configuration().replace("routes:", &format!("{status}{upstream}"));
    let mut gateway = Gateway::start_with(&[
        (FILE, &text),
        ("shop.crt", &shop.chain_pem()),
        ("shop.key", &shop.key_pem()),
        ("me.crt", &client.chain_pem()),
        ("me.key", &client.key_pem()),
        ("ca.pem", &anchor.chain_pem()),
    ]);
    let status = gateway.address("status").await;
    let owners = [
        ("public/0", "shop.example", "a listener's certificate has expired"),
        ("upstream/orders/client", "CN=gateway", "the certificate for an upstream has expired"),
        ("upstream/orders/ca", "CN=server", "every authority of a bundle has expired"),
    ];
    let metrics = fetch(status, "GET", "/metrics", &[]).await.unwrap().text();
    for (owner, name, after) in owners {
        let owner = format!("certificate=\"{owner}\"");
        let series = format!("portcullis_certificate_expiry_timestamp_seconds{{{owner}}} ");
        assert!(metrics.contains(&series), "{metrics}");
        let names = format!("names=\"{name}\"");
        gateway.says(&["expires soon", "days=1", &owner, &names, "help="]).await;
        gateway.says(&[after, &owner, &names, "help="]).await;
    }
    replace(&gateway, &authority.server("shop.example").valid(-DAYS, 90 * DAYS).issue());
    gateway.says(&["renewed certificates serve", "public"]).await;
    let lines = gateway.process.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("help=")).count(), 6, "{lines:#?}");
}

#[tokio::test]
async fn the_connections_of_a_revoked_client_end() {
    let authority = Authority::root("test");
    let server = authority.server("shop.example").issue();
    let (revoked, other) = (authority.client("revoked").issue(), authority.client("other").issue());
    let origin = Origin::start("a").await.unwrap();
    let tls = "tls: {certificates: [{certFile: shop.crt, keyFile: shop.key}], \
               clientAuth: {mode: required, caFile: ca.pem, crlFile: partners.crl}}}";
    let http = format!("kind: http, {tls}");
    let text = forwarding(&[origin.address()], "")
        .replace("kind: http}", &http)
        .replace(
            "upstreams:",
            &format!("  - {{name: bytes, address: \"127.0.0.1:0\", kind: tcp, {tls}\nupstreams:"),
        )
        .replace(
            "routes:",
            "routes:\n  - {name: bytes, listeners: [bytes], backends: [{upstream: origin}]}",
        );
    let mut gateway = with_revocations(&text, &authority, &server);
    let address = gateway.address("public").await;
    let fast = b"GET /echo HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let slow = b"GET /delay/3000/x HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let [bad, good] = [&revoked, &other].map(|leaf| showing(&authority, Some(leaf)));
    let mut fresh = RawClient::connect_tls(address, &bad).await.unwrap();
    let mut idle = RawClient::connect_tls(address, &bad).await.unwrap();
    let mut busy = RawClient::connect_tls(address, &bad).await.unwrap();
    let mut kept = RawClient::connect_tls(address, &good).await.unwrap();
    for client in [&mut idle, &mut kept] {
        client.send(fast).await.unwrap();
        assert!(client.response().await.unwrap().keep_alive());
    }
    let mut tunnel = RawClient::connect_tls(gateway.address("bytes").await, &bad).await.unwrap();
    tunnel.send(fast).await.unwrap();
    tunnel.response().await.unwrap();
    busy.send(slow).await.unwrap();
    let mut config = (*bad.config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let multiplexed = Tls { name: bad.name.clone(), config: Arc::new(config) };
    let mut streams = H2Client::open(address, Some(&multiplexed), &[]).await.unwrap();
    let head = |path| {
        let target = [(":path", path), (":authority", "shop.example")];
        [frame::block(&[(":method", "GET"), (":scheme", "https")]), frame::block(&target)].concat()
    };
    streams.send(&headers(1, WHOLE, head("/delay/3000/x"))).await.unwrap();
    origin.received(5).await;
    let control = Control::start();
    gateway.process.replace_file("partners.crl", &authority.revoke(&[revoked.serial()])).unwrap();
    closed(&mut idle).await;
    closed(&mut fresh).await;
    let (rest, _) = tunnel.read_to_end().await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    assert!(control.taken() < Duration::from_secs(5), "{:?}", control.taken());
    streams.until(|seen| matches!(seen, Seen::GoAway { .. })).await.unwrap();
    streams.send(&headers(3, WHOLE, head("/echo"))).await.unwrap();
    let refused = streams.until(|seen| seen.ended() == Some(3)).await.unwrap();
    assert_eq!(refused, Seen::Reset { stream: 3, code: 7 }, "what has begun is the last");
    let last = busy.response().await.unwrap();
    assert_eq!((last.status, last.keep_alive()), (200, false));
    closed(&mut busy).await;
    let rest = streams.until_end().await.unwrap();
    assert!(rest.iter().any(|seen| seen.status() == Some("200")), "{rest:?}");
    kept.send(fast).await.unwrap();
    assert!(kept.response().await.unwrap().keep_alive(), "others hear nothing of it");
}

/// A gateway that asks for certificates of this authority, of which none is revoked yet.
fn with_revocations(text: &str, authority: &Authority, server: &Leaf) -> Gateway {
    Gateway::start_with(&[
        (FILE, text),
        ("shop.crt", &server.chain_pem()),
        ("shop.key", &server.key_pem()),
        ("ca.pem", &authority.certificate_pem()),
        ("partners.crl", &authority.revoke(&[])),
    ])
}

/// Their WebSockets too, whether or not anybody answers the goodbye.
#[tokio::test]
async fn the_websockets_of_a_revoked_client_end() {
    let authority = Authority::root("test");
    let server = authority.server("shop.example").issue();
    let revoked = authority.client("revoked").issue();
    let origin = WebSocketOrigin::start().await.unwrap();
    let http = "kind: http, tls: {certificates: [{certFile: shop.crt, keyFile: shop.key}], \
                clientAuth: {mode: required, caFile: ca.pem, crlFile: partners.crl}}}";
    let text = forwarding(&[origin.address().unwrap()], "").replace("kind: http}", http);
    let mut gateway = with_revocations(&text, &authority, &server);
    let tls = showing(&authority, Some(&revoked));
    let address = gateway.address("public").await;
    let Stream::Tls(stream) = Stream::connect(address, Some(&tls)).await.unwrap() else {
        panic!("not TLS");
    };
    let wish = websocket::request("/live", &[]).replace("a.test", "shop.example");
    let (client, server) = tokio::join!(websocket::upgrade(stream, &wish), origin.accept());
    let (mut client, mut server) = (client.unwrap().0, server.unwrap().0);
    client.send(&Frame::text("a")).await.unwrap();
    server.expect().await.unwrap();

    let control = Control::start();
    gateway.process.replace_file("partners.crl", &authority.revoke(&[revoked.serial()])).unwrap();
    for told in [client.expect().await.unwrap(), server.expect().await.unwrap()] {
        assert_eq!(told.code(), Some(1001));
    }
    assert!(!matches!(client.next().await, Ok(Some(_))), "nothing passes any more");
    assert!(control.taken() < Duration::from_secs(5), "{:?}", control.taken());
}
