//! TLS 1.3 handshakes, full and resumed: connect, shake hands, ask for a little, leave.
//!
//! The client offers X25519 and AES-128-GCM alone, so that every engine agrees on the same, and it
//! knows of each handshake whether it was of the kind that is being counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Slice;
use super::own::{Completed, costed, on_generator_core};
use super::response::ResponseReader;
use crate::engines::{AUTHORITY, Running};

/// The name in the certificate.
const NAME: &str = "localhost";
/// What is asked for. Small, because it is no part of what is compared.
const REQUEST: &[u8] = b"GET /128 HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// How long one handshake with its request may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Which handshakes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    /// By a ticket of the connection before, each used once (RFC 8446, appendix C.4).
    Resumed,
}

/// Who shakes hands, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clients {
    pub(crate) kind: Kind,
    /// Each has one connection at a time.
    pub(crate) count: usize,
}

/// The figure is the engine's processor time for each connection with its request.
pub(super) fn run(
    clients: &Clients,
    engine: &Running,
    duration: Duration,
) -> anyhow::Result<Slice> {
    let authority = std::fs::read(engine.directory.join(AUTHORITY)).context(AUTHORITY)?;
    on_generator_core(engine.setting.cores, || {
        let authority = CertificateDer::from(authority);
        let handshakes =
            Handshakes::prepare(engine.address, &authority, clients.kind, clients.count)?;
        costed(engine, || handshakes.run(duration))
    })
}

/// Clients of one engine, one connection each at a time.
#[derive(Debug)]
struct Handshakes {
    target: SocketAddr,
    kind: Kind,
    /// One for each client, because each keeps its own tickets.
    clients: Vec<Arc<ClientConfig>>,
}

#[derive(Debug, Default)]
struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Handshakes {
    /// So many clients that trust this authority. Those that resume get their first ticket here.
    fn prepare(
        target: SocketAddr,
        authority: &CertificateDer<'static>,
        kind: Kind,
        clients: usize,
    ) -> anyhow::Result<Self> {
        let clients = (0..clients)
            .map(|_| Ok(Arc::new(configuration(authority, kind)?)))
            .collect::<anyhow::Result<_>>()?;
        let handshakes = Self { target, kind, clients };
        runtime()?.block_on(async {
            for client in &handshakes.clients {
                let first = handshake(target, client).await?;
                if first != HandshakeKind::Full {
                    bail!("the first handshake of a client was not a full one: {first:?}");
                }
            }
            Ok(handshakes)
        })
    }

    /// As many as go in this time, on the calling thread. A handshake of another kind has failed.
    fn run(&self, duration: Duration) -> anyhow::Result<Completed> {
        let tally = Arc::new(Tally::default());
        let start = Instant::now();
        runtime()?.block_on(async {
            let mut clients = JoinSet::new();
            for client in &self.clients {
                let (client, tally) = (Arc::clone(client), Arc::clone(&tally));
                let (target, kind) = (self.target, self.kind);
                clients.spawn(async move {
                    while start.elapsed() < duration {
                        let seen = handshake(target, &client).await;
                        let good = seen.is_ok_and(|seen| kind.is(seen));
                        let counter = if good { &tally.done } else { &tally.failed };
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            clients.join_all().await;
        });
        Ok(Completed {
            done: tally.done.load(Ordering::Relaxed),
            failed: tally.failed.load(Ordering::Relaxed),
        })
    }
}

impl Kind {
    fn is(self, seen: HandshakeKind) -> bool {
        match self {
            Self::Full => seen == HandshakeKind::Full,
            Self::Resumed => seen == HandshakeKind::Resumed,
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn configuration(authority: &CertificateDer<'static>, kind: Kind) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut configuration = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    configuration.resumption = match kind {
        Kind::Full => Resumption::disabled(),
        // Of one server. It gives each ticket away once.
        Kind::Resumed => Resumption::in_memory_sessions(1),
    };
    Ok(configuration)
}

/// One whole connection; says how its handshake went.
async fn handshake(
    target: SocketAddr,
    client: &Arc<ClientConfig>,
) -> anyhow::Result<HandshakeKind> {
    timeout(DEADLINE, exchange(target, client)).await.context("a handshake took too long")?
}

async fn exchange(target: SocketAddr, client: &Arc<ClientConfig>) -> anyhow::Result<HandshakeKind> {
    let tcp = TcpStream::connect(target).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(NAME)?;
    let mut tls = TlsConnector::from(Arc::clone(client)).connect(name, tcp).await?;
    let connection = tls.get_ref().1;
    let kind = connection.handshake_kind().context("no handshake was made")?;
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        bail!("another version than TLS 1.3: {:?}", connection.protocol_version());
    }
    tls.write_all(REQUEST).await?;
    let mut reader = ResponseReader::default();
    let mut buffer = [0; 2048];
    // Tickets come before the response, in the same stream.
    let response = loop {
        let length = tls.read(&mut buffer).await?;
        if length == 0 {
            bail!("the engine left before it answered");
        }
        if let Some(response) = reader.push(&buffer[..length])? {
            break response;
        }
    };
    if response.status != 200 {
        bail!("the engine answered {}", response.status);
    }
    tls.shutdown().await?;
    Ok(kind)
}

#[cfg(test)]
mod tests;
