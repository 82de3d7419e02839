//! A gate in this process with a listener of either kind: plain, where HTTP/2 is known by its
//! preface, and TLS, where ALPN agrees on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::ListenAddress;
use portcullis_proxy::server::Server;
use portcullis_testkit::ca::Authority;
use portcullis_testkit::client::Tls;
use portcullis_testkit::h2::H2Client;
use portcullis_testkit::origin::Script;

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Tls,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Plain, Kind::Tls];

/// A running proxy with both listeners, one upstream and one route.
pub(crate) struct Gate {
    server: Server,
    addresses: [SocketAddr; 2],
    tls: Tls,
    directory: tempfile::TempDir,
}

impl Gate {
    pub(crate) async fn new(origin: SocketAddr) -> Self {
        Self::with("", "", origin).await
    }

    /// `listener` and `route` are put into the listeners and the route, in YAML flow.
    pub(crate) async fn with(listener: &str, route: &str, origin: SocketAddr) -> Self {
        portcullis_proxy::tls::install_provider();
        let authority = Authority::root("Test Root");
        let leaf = authority.server("a.test").issue();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.crt"), leaf.chain_pem()).unwrap();
        std::fs::write(directory.path().join("a.key"), leaf.key_pem()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate_der()).unwrap();
        let mut config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = Tls { name: "a.test".try_into().unwrap(), config: Arc::new(config) };

        let place = directory.path().display();
        let text = format!(
            "version: v1\nworkers: 1\nlisteners:\n\
             \x20 - {{name: plain, address: \"127.0.0.1:0\", {listener}}}\n\
             \x20 - {{name: tls, address: \"127.0.0.1:0\", tls: {{certificates: [\
             {{certFile: {place}/a.crt, keyFile: {place}/a.key}}]}}, {listener}}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{origin}\"}}]}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}], {route}}}\n\
             accessLog: {{path: \"{place}/access.ndjson\"}}\n"
        );
        let loaded = match portcullis_config::parse_str("test.yaml", &text) {
            Ok(loaded) => loaded,
            Err(failed) => panic!("{failed:?} in\n{text}"),
        };
        let server = Server::start(Arc::new(loaded.config)).await.expect("a server");
        let address = |wanted: &str| {
            let mut addresses = server.addresses().into_iter();
            match addresses.find(|(name, _)| name == wanted) {
                Some((_, ListenAddress::Tcp { address, .. })) => address,
                _ => panic!("no listener {wanted}"),
            }
        };
        let addresses = [address("plain"), address("tls")];
        Self { server, addresses, tls, directory }
    }

    pub(crate) fn address(&self, kind: Kind) -> SocketAddr {
        self.addresses[kind as usize]
    }

    /// A connection on which nothing was sent.
    pub(crate) async fn connect(&self, kind: Kind) -> H2Client {
        let tls = (kind == Kind::Tls).then_some(&self.tls);
        H2Client::connect(self.address(kind), tls).await.unwrap()
    }

    /// A connection that is ready for requests.
    pub(crate) async fn open(&self, kind: Kind, settings: &[(u16, u32)]) -> H2Client {
        let tls = (kind == Kind::Tls).then_some(&self.tls);
        H2Client::open(self.address(kind), tls, settings).await.unwrap()
    }

    pub(crate) async fn drain(&mut self, within: Duration) {
        self.server.drain(within, std::future::pending()).await;
    }

    /// Ends the proxy and gives its records.
    pub(crate) async fn records(mut self) -> Vec<serde_json::Value> {
        self.drain(Duration::from_secs(10)).await;
        let path = self.directory.path().join("access.ndjson");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Answers every request with this body.
pub(crate) fn always(body: impl AsRef<[u8]>) -> Script {
    Script::new().repeat(Script::new().request().respond(body))
}
