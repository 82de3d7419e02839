//! A service, and the proxy in front of it with a plain and a TLS listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::ListenAddress;
use portcullis_proxy::server::Server;
use portcullis_testkit::ca::{Authority, PemDirectory};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::service::{self, EchoClient};

pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// How the proxy reaches the service.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Back {
    Clear,
    Tls,
}

/// How a client reaches the proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Front {
    Clear,
    Tls,
}

pub(crate) struct Gate {
    server: Server,
    files: PemDirectory,
    authority: Authority,
    hears: mpsc::UnboundedReceiver<String>,
}

impl Gate {
    pub(crate) async fn new(back: Back) -> Self {
        Self::with(back, "", "").await
    }

    /// With more keys of the listeners and of the route.
    pub(crate) async fn with(back: Back, listener: &str, route: &str) -> Self {
        portcullis_proxy::tls::install_provider();
        let authority = Authority::root("the test's");
        let files = PemDirectory::create();
        let leaf = authority.server("a.test").name("127.0.0.1").issue();
        files.write_leaf("a", &leaf);
        files.write("ca.pem", authority.certificate_pem());
        let place = files.path().display();
        let (identity, upstream) = match back {
            Back::Clear => (None, "protocol: http2".to_owned()),
            Back::Tls => (
                Some(Identity::from_pem(leaf.chain_pem(), leaf.key_pem())),
                format!("tls: {{caFile: {place}/ca.pem, serverName: a.test}}"),
            ),
        };
        let (address, hears) = service::start(identity).await;
        let text = format!(
            "version: v1\nworkers: 1\nlisteners:\n  \
             - {{name: clear, address: \"127.0.0.1:0\", {listener}}}\n  \
             - {{name: tls, address: \"127.0.0.1:0\", tls: {{certificates: [{{certFile: {place}/a.crt, keyFile: {place}/a.key}}]}}, {listener}}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{address}\"}}], {upstream}}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}], {route}}}\n\
             accessLog: {{path: \"{place}/access.ndjson\"}}\n"
        );
        let server = serve(&text).await;
        Self { server, files, authority, hears }
    }

    pub(crate) fn address(&self, front: Front) -> SocketAddr {
        address(&self.server, front as usize)
    }

    pub(crate) fn authority(&self) -> String {
        self.authority.certificate_pem()
    }

    pub(crate) async fn channel(&self, front: Front) -> Channel {
        let address = self.address(front);
        let endpoint = match front {
            Front::Clear => Endpoint::from_shared(format!("http://{address}")).unwrap(),
            Front::Tls => {
                let authority = Certificate::from_pem(self.authority());
                let tls = ClientTlsConfig::new().ca_certificate(authority);
                let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
                endpoint.tls_config(tls).unwrap()
            }
        };
        let endpoint = endpoint.http2_max_header_list_size(1 << 20);
        timeout(WITHIN, endpoint.connect()).await.unwrap().unwrap()
    }

    pub(crate) async fn client(&self, front: Front) -> EchoClient<Channel> {
        let client = EchoClient::new(self.channel(front).await);
        client.max_decoding_message_size(64 << 20).max_encoding_message_size(64 << 20)
    }

    /// The next thing that the service has to say: that a call began which it does not answer, or
    /// that it was left alone with one.
    pub(crate) async fn hears(&mut self) -> String {
        timeout(WITHIN, self.hears.recv()).await.unwrap().unwrap()
    }

    /// `status reason` of each record.
    pub(crate) async fn verdicts(mut self) -> Vec<String> {
        self.server.drain(Duration::from_secs(10), std::future::pending()).await;
        let text = std::fs::read_to_string(self.files.path().join("access.ndjson")).unwrap();
        let one = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let reason = record["reason"].as_str().unwrap_or("passed");
            format!("{} {reason}", record["status"])
        };
        text.lines().map(one).collect()
    }
}

/// A proxy with this configuration.
pub(crate) async fn serve(text: &str) -> Server {
    let loaded = match portcullis_config::parse_str("test.yaml", text) {
        Ok(loaded) => loaded,
        Err(failed) => panic!("{failed:?} in\n{text}"),
    };
    Server::start(Arc::new(loaded.config)).await.unwrap()
}

pub(crate) fn address(server: &Server, index: usize) -> SocketAddr {
    match &server.addresses()[index] {
        (_, ListenAddress::Tcp { address, .. }) => *address,
        other => panic!("{other:?}"),
    }
}

/// Every way through the proxy.
pub(crate) const WAYS: [(Front, Back); 4] = [
    (Front::Clear, Back::Clear),
    (Front::Clear, Back::Tls),
    (Front::Tls, Back::Clear),
    (Front::Tls, Back::Tls),
];
