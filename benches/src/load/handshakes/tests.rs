//! Handshakes with a small server that counts what it saw.

use std::sync::Mutex;

use portcullis_testkit::ca::Authority;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a server saw of one connection.
type Seen = Arc<Mutex<Vec<(HandshakeKind, NamedGroup)>>>;

/// Serves one small response on each connection; without tickets nobody can resume.
async fn server(tickets: usize) -> (SocketAddr, CertificateDer<'static>, Seen) {
    let authority = Authority::root("bench");
    let leaf = authority.server(NAME).issue();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(leaf.chain_der(), leaf.key_der())
        .unwrap();
    configuration.send_tls13_tickets = tickets;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(configuration));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut tls = acceptor.accept(tcp).await.unwrap();
                let connection = tls.get_ref().1;
                let group = connection.negotiated_key_exchange_group().unwrap().name();
                seen.lock().unwrap().push((connection.handshake_kind().unwrap(), group));
                let mut request = vec![0; REQUEST.len()];
                tls.read_exact(&mut request).await.unwrap();
                assert_eq!(request, REQUEST);
                tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                // Until the client leaves, as it should: with a goodbye.
                assert_eq!(tls.read(&mut request).await.unwrap(), 0);
            });
        }
    });
    (address, authority.certificate_der(), seen)
}

async fn run(tickets: usize, kind: Kind) -> (Completed, Vec<(HandshakeKind, NamedGroup)>) {
    let (target, authority, seen) = server(tickets).await;
    let work = move || {
        let handshakes = Handshakes::prepare(target, &authority, kind, 2).unwrap();
        handshakes.run(Duration::from_millis(100)).unwrap()
    };
    let completed = tokio::task::spawn_blocking(work).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    (completed, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn full_handshakes_never_resume() {
    let (completed, seen) = run(4, Kind::Full).await;
    assert!(completed.done >= 2 && completed.failed == 0, "{completed:?}");
    assert_eq!(seen.len() as u64, completed.done + 2);
    assert!(seen.iter().all(|each| *each == (HandshakeKind::Full, NamedGroup::X25519)), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn resumed_handshakes_all_resume_but_each_clients_first() {
    let (completed, seen) = run(1, Kind::Resumed).await;
    assert!(completed.done >= 2 && completed.failed == 0, "{completed:?}");
    let resumed = seen.iter().filter(|(kind, _)| *kind == HandshakeKind::Resumed).count();
    assert_eq!((resumed as u64, seen.len() - resumed), (completed.done, 2));
    assert!(seen.iter().all(|(_, group)| *group == NamedGroup::X25519), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_without_tickets_fails_every_resumption() {
    let (completed, _) = run(0, Kind::Resumed).await;
    assert!(completed.done == 0 && completed.failed >= 2, "{completed:?}");
}
