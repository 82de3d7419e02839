//! TLS that is passed on: routed by the name that a client asks for, and never touched.

use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::ca::Authority;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::{Gate, Sink, rest, take, within};

/// What a client sends first when it asks for `name`; for an address it names nobody.
pub(crate) fn hello_to(name: &str) -> Vec<u8> {
    portcullis_proxy::tls::install_provider();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Routes of these names, each to a sink of its own; the last takes the rest where `any`.
async fn gate(names: &[&str], sinks: &[Sink], listener: &str) -> Gate {
    let mut upstreams = String::new();
    let mut routes = String::new();
    for (at, (name, sink)) in names.iter().zip(sinks).enumerate() {
        let address = sink.address();
        upstreams += &format!("  - {{name: u{at}, endpoints: [{{address: \"{address}\"}}]}}\n");
        let matcher = match *name {
            "" => String::new(),
            name => format!("match: {{sni: [\"{name}\"]}}, "),
        };
        routes += &format!(
            "  - {{name: r{at}, listeners: [front], {matcher}backends: [{{upstream: u{at}}}]}}\n"
        );
    }
    Gate::of(&format!(
        "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", kind: tls-passthrough, {listener}}}\n\
         upstreams:\n{upstreams}routes:\n{routes}"
    ))
    .await
}

#[tokio::test]
async fn the_handshake_is_between_client_and_upstream() {
    portcullis_proxy::tls::install_provider();
    let authority = Authority::root("the test's");
    let sinks = [Sink::new().await, Sink::new().await];
    let gate = gate(&["a.test", "*.b.test"], &sinks, "").await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate_der()).unwrap();
    let client =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    for (name, sink) in [("a.test", &sinks[0]), ("x.y.b.test", &sinks[1])] {
        let leaf = authority.server(name).issue();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(leaf.chain_der(), leaf.key_der()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serve = async {
            let mut stream = acceptor.accept(sink.accept().await).await.unwrap();
            let mut asked = Vec::new();
            stream.read_to_end(&mut asked).await.unwrap();
            stream.write_all(&asked).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let ask = async {
            let stream = TcpStream::connect(gate.address).await.unwrap();
            let name = ServerName::try_from(name).unwrap();
            // Only the upstream has a certificate that this client takes.
            let mut stream = connector.connect(name, stream).await.unwrap();
            stream.write_all(&[b'x'; 200_000]).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let ((), heard) = within(Box::pin(async { tokio::join!(serve, ask) })).await;
        assert_eq!(heard.len(), 200_000);
    }
    let records = gate.records().await;
    let told: Vec<_> = records
        .iter()
        .map(|record| format!("{} {} {}", record["sni"], record["route"], record["reason"]))
        .collect();
    assert_eq!(told, ["\"a.test\" \"r0\" null", "\"x.y.b.test\" \"r1\" null"]);
}

/// Wherever the network cuts it, and with bytes behind it, what arrives is what was sent.
#[tokio::test]
async fn a_first_message_may_arrive_in_pieces() {
    let sinks = [Sink::new().await];
    let gate = gate(&["a.test"], &sinks, "").await;
    let hello = [hello_to("A.Test"), b"early".to_vec()].concat();
    for cut in 0..hello.len() {
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        client.set_nodelay(true).unwrap();
        client.write_all(&hello[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        client.write_all(&hello[cut..]).await.unwrap();
        let mut server = sinks[0].accept().await;
        assert_eq!(take(&mut server, hello.len()).await, hello, "cut at {cut}");
        // A reset leaves no port behind.
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

#[tokio::test]
async fn names_choose_the_most_special_route() {
    let names = ["", "*.test", "*.a.test", "x.a.test"];
    let sinks = [Sink::new().await, Sink::new().await, Sink::new().await, Sink::new().await];
    let gate = gate(&names, &sinks, "").await;
    for (name, expected) in [
        ("x.a.test", 3),
        ("y.a.test", 2),
        ("a.test", 1),
        ("b.c.test", 1),
        ("other.example", 0),
        ("192.0.2.1", 0),
    ] {
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        let hello = hello_to(name);
        client.write_all(&hello).await.unwrap();
        let mut server = sinks[expected].accept().await;
        assert_eq!(take(&mut server, hello.len()).await, hello, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_routed_is_closed_with_a_reason() {
    let sinks = [Sink::new().await];
    let gate = gate(&["a.test"], &sinks, "timeouts: {handshake: 300ms}").await;
    let hello = hello_to("a.test");
    let half = &hello[..hello.len() / 2];
    for (what, bytes, closes, reason) in [
        ("another name", hello_to("b.test"), false, "no-route"),
        ("no name", hello_to("192.0.2.1"), false, "no-route"),
        ("HTTP", b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n".to_vec(), false, "client-hello-invalid"),
        ("zeros", vec![0; 20_000], false, "client-hello-invalid"),
        ("half of it", half.to_vec(), true, "client-hello-invalid"),
        ("half of it, and silence", half.to_vec(), false, "head-timeout"),
        ("silence", Vec::new(), false, "head-timeout"),
        ("nothing", Vec::new(), true, "client-aborted"),
    ] {
        let label = ["", reason];
        let before = gate.metric("portcullis_request_reasons_total", &label);
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        client.write_all(&bytes).await.unwrap();
        if closes {
            client.shutdown().await.unwrap();
        }
        // What was sent and is not read makes the close a reset.
        assert!(rest(&mut client).await.unwrap_or_default().is_empty(), "{what}");
        gate.metric_is("portcullis_request_reasons_total", &label, before + 1.0).await;
    }
    let failures = gate.metric("portcullis_listener_handshake_failures_total", &["front"]);
    assert_eq!(failures, 5.0, "all but the unknown names and the one that left");
    let records = gate.records().await;
    assert_eq!(records.len(), 8);
    assert!(records.iter().all(|record| record["upstream"].is_null()));
    assert_eq!(records[0]["sni"], "b.test");
}
