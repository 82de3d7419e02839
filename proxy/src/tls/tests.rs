//! TLS as a peer sees it: rustls on both sides, bytes passed by hand, no sockets.

mod clients;
mod names;
mod problems;
mod reload;
mod upstreams;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_config::location::{FileRef, Location};
use portcullis_config::model::{
    CertificateSource, ClientAuth, ClientAuthMode, ListenerTls, TlsVersion, TrustAnchors,
    UpstreamTls,
};
use portcullis_testkit::ca::{Authority, Leaf, PemDirectory};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::*;

const BOTH_VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

fn at(line: u32) -> Location {
    let file: Arc<Path> = Path::new("gateway.yaml").into();
    Location { file, line, column: 5, start: 0, end: 1 }
}

fn file(path: PathBuf) -> FileRef {
    FileRef { path, location: at(7) }
}

/// A leaf written to its files.
fn source(directory: &PemDirectory, name: &str, leaf: &Leaf) -> CertificateSource {
    let (cert, key) = directory.write_leaf(name, leaf);
    CertificateSource::Files { cert: file(cert), key: file(key) }
}

fn listener(certificates: Vec<CertificateSource>) -> ListenerTls {
    ListenerTls {
        location: at(3),
        certificates,
        min_version: TlsVersion::V12,
        max_version: TlsVersion::V13,
        client_auth: None,
        alpn: vec!["http/1.1".to_owned()],
    }
}

/// A client-auth rule with its authority and, if given, its list, in files of fixed names.
fn client_auth(
    directory: &PemDirectory,
    mode: ClientAuthMode,
    authority: &Authority,
    list: Option<&str>,
) -> ClientAuth {
    ClientAuth {
        mode,
        ca: file(directory.write("clients.pem", authority.certificate_pem())),
        crl: list.map(|list| file(directory.write("clients.crl", list))),
    }
}

fn upstream(ca: TrustAnchors) -> UpstreamTls {
    UpstreamTls {
        alpn: vec!["http/1.1".to_owned()],
        location: at(4),
        ca,
        client_certificate: None,
        server_name: None,
        identities: Vec::new(),
        min_version: TlsVersion::V12,
        max_version: TlsVersion::V13,
    }
}

#[track_caller]
fn server(config: &ListenerTls) -> ServerTls {
    let mut problems = Vec::new();
    let built = ServerTls::build(config, &mut problems);
    assert_eq!(problems, []);
    built.expect("no problems, so TLS")
}

#[track_caller]
fn client(config: &UpstreamTls) -> ClientTls {
    let mut problems = Vec::new();
    let built = ClientTls::build(config, &mut problems);
    assert_eq!(problems, []);
    built.expect("no problems, so TLS")
}

/// A browser, as it were: trusts one authority, may show a certificate, keeps sessions.
fn browser(
    trusts: &Authority,
    shows: Option<&Leaf>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.certificate_der()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shows {
        Some(leaf) => builder.with_client_auth_cert(leaf.chain_der(), leaf.key_der()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// An upstream that shows a leaf and, if it trusts anyone, asks for a client certificate.
fn origin(
    leaf: &Leaf,
    trusts: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let verifier = trusts.map_or_else(WebPkiClientVerifier::no_client_auth, |authority| {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate_der()).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap()
    });
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(leaf.chain_der(), leaf.key_der())
        .unwrap();
    Arc::new(config)
}

struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

impl Pair {
    /// A whole handshake with the tickets that follow it; the first error of either side ends it.
    fn connect(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
        name: &str,
    ) -> Result<Self, rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Self::connect_to(client, server, name)
    }

    fn connect_to(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let client = ClientConnection::new(client, name)?;
        let mut pair = Self { client, server: ServerConnection::new(server)? };
        pair.exchange()?;
        assert!(!pair.client.is_handshaking() && !pair.server.is_handshaking());
        Ok(pair)
    }

    fn exchange(&mut self) -> Result<(), rustls::Error> {
        while self.client.wants_write() || self.server.wants_write() {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).unwrap();
            }
            let mut unread = wire.as_slice();
            while !unread.is_empty() {
                self.server.read_tls(&mut unread).unwrap();
                self.server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut wire).unwrap();
            }
            let mut unread = wire.as_slice();
            while !unread.is_empty() {
                self.client.read_tls(&mut unread).unwrap();
                self.client.process_new_packets()?;
            }
        }
        Ok(())
    }

    /// A word there and back.
    fn talk(&mut self) {
        use std::io::{Read, Write};
        let mut word = [0; 4];
        self.client.writer().write_all(b"ping").unwrap();
        self.exchange().unwrap();
        self.server.reader().read_exact(&mut word).unwrap();
        assert_eq!(&word, b"ping");
        self.server.writer().write_all(b"pong").unwrap();
        self.exchange().unwrap();
        self.client.reader().read_exact(&mut word).unwrap();
        assert_eq!(&word, b"pong");
    }

    fn resumed(&self) -> bool {
        self.server.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The leaf that the client was shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.client.peer_certificates().unwrap()[0].clone()
    }
}

fn first(leaf: &Leaf) -> CertificateDer<'static> {
    leaf.chain_der().remove(0)
}

#[test]
fn every_suite_is_aead_and_those_of_1_2_use_ecdhe() {
    for suite in provider().cipher_suites.iter() {
        let name = suite.suite().as_str().unwrap();
        assert!(name.contains("GCM") || name.contains("CHACHA20_POLY1305"), "{name}");
        assert!(suite.tls13().is_some() || name.starts_with("TLS_ECDHE_"), "{name}");
    }
}

#[test]
fn installing_the_provider_twice_does_no_harm() {
    install_provider();
    install_provider();
    assert!(CryptoProvider::get_default().is_some());
}
