//! A client's connection as its requests and its tunnel see it: what stays the same from its first
//! byte to its last.
//!
//! Knows its listener. Knows nothing of requests.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::{HttpProtocol, Trust};
use tokio::time::Instant;

use crate::connection_balance::ConnectionSlot;
use crate::deadline::Deadline;
use crate::drain::Registration;
use crate::io::Io;
use crate::observe::counter::WorkerId;
use crate::observe::series::ListenerMetrics;
use crate::peer::PeerText;
use crate::proxy_protocol::ConnectionAddresses;
use crate::tls::PeerIdentity;
use crate::worker::Bound;

/// How long a closed connection is still read, so that a reset does not destroy the last response
/// (RFC 9112, section 9.6). This is the limit for a client that keeps sending; a silent client has
/// [`LINGER_SILENT`].
pub const LINGER: Duration = Duration::from_secs(5);
pub const LINGER_SILENT: Duration = Duration::from_secs(1);

/// What stays the same for all requests of a connection.
pub struct Client {
    pub io: Io,
    /// The client's address: of its socket, or as a trusted proxy reports it.
    pub address: Option<SocketAddr>,
    /// What the PROXY protocol header of a trusted proxy says.
    pub proxy_header: Option<Box<ConnectionAddresses>>,
    pub tls: Option<Box<TlsFacts>>,
    pub accepted: Instant,
    /// When the connection reaches its maximum age.
    pub ends_at: Option<Instant>,
    pub handshake: Duration,
    pub registration: Registration,
    pub listener: Rc<Bound>,
    pub deadline: Rc<Deadline>,
    /// When the last request ended, or the connection was ready for its first.
    pub quiet_since: Cell<Instant>,
    /// How long the client may read nothing of a response, or send nothing of a body.
    pub patience: Duration,
    pub listener_name: Arc<str>,
    /// The address as text, for the log and for upstreams.
    pub peer: PeerText,
    pub held: ConnectionGuard,
}

/// What the TLS handshake has settled.
pub struct TlsFacts {
    pub sni: Option<String>,
    pub version: &'static str,
    pub identity: Option<Rc<PeerIdentity>>,
}

impl Client {
    /// Whether the connection takes no further request: it has reached its age, was asked to end, or
    /// memory is short.
    pub fn is_ending(&self) -> bool {
        self.registration.is_ending() || self.is_aged()
    }

    /// Whether it has reached its age.
    pub fn is_aged(&self) -> bool {
        self.ends_at.is_some_and(|end| end <= Instant::now())
    }

    /// The protocol that both sides have agreed on, if they did.
    pub(crate) fn agreed(&self) -> Option<HttpProtocol> {
        self.io.agreed()
    }

    /// Which peers are trusted after the PROXY protocol header: its sender was the first of the
    /// counted hops.
    pub fn trust_left<'t>(&self, trust: &'t Trust) -> Cow<'t, Trust> {
        match trust {
            Trust::Hops(hops) if self.proxy_header.is_some() => {
                let left = NonZeroU8::new(hops.get() - 1);
                Cow::Owned(left.map_or(Trust::None, Trust::Hops))
            }
            _ => Cow::Borrowed(trust),
        }
    }

    /// Both ends of the client's connection; `None` where there are no addresses.
    pub fn ends(&self) -> Option<ConnectionAddresses> {
        match &self.proxy_header {
            Some(proxy_header) => Some(**proxy_header),
            None => Some(ConnectionAddresses {
                source: self.address?,
                destination: self.io.local_address()?,
            }),
        }
    }

    /// The address to hash, log and forward; a Unix socket has none and counts as loopback.
    pub fn ip(&self) -> IpAddr {
        self.address.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip())
    }
}

/// Counts the connection at its listener, and holds its slot, until it is dropped.
pub struct ConnectionGuard {
    _slot: ConnectionSlot,
    _open: OpenConnection,
}

impl ConnectionGuard {
    pub(crate) fn begin(
        slot: ConnectionSlot,
        metrics: &Arc<ListenerMetrics>,
        worker: WorkerId,
    ) -> Self {
        Self { _slot: slot, _open: OpenConnection::begin(metrics, worker) }
    }
}

/// Counts a connection as open for as long as it lives.
struct OpenConnection {
    metrics: Arc<ListenerMetrics>,
    worker: WorkerId,
}

impl OpenConnection {
    fn begin(metrics: &Arc<ListenerMetrics>, worker: WorkerId) -> Self {
        metrics.of(worker).active.add(1);
        Self { metrics: Arc::clone(metrics), worker }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.of(self.worker).active.add(-1);
    }
}
