//! Listeners: where connections are accepted, how, and within which limits.
//!
//! Those of bytes that are passed on stand in `stream`. Knows nothing of routes.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use super::{ProxyProtocol, StreamListener, Upgrades};
use crate::location::{FileRef, Location, Sourced};
use crate::networks::Networks;
use crate::policy::Policies;

#[derive(Debug, Clone)]
pub struct Listener {
    pub name: String,
    pub location: Location,
    pub address: ListenAddress,
    pub kind: ListenerKind,
    /// What holds for its requests, also for those that no route takes.
    pub policies: Policies,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `[::]:80` accepts IPv4 too unless `v6only` is set.
    Tcp {
        address: SocketAddr,
        v6only: bool,
    },
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether both take the same connections, so that they cannot be bound beside each other.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => one == other,
            (
                Self::Tcp { address: left, v6only: left_only },
                Self::Tcp { address: right, v6only: right_only },
            ) => {
                // The kernel gives port 0 a new port each time.
                left.port() == right.port()
                    && left.port() != 0
                    && (covers(left.ip(), *left_only, right.ip())
                        || covers(right.ip(), *right_only, left.ip()))
            }
            _ => false,
        }
    }
}

/// Whether `wide` takes connections to `narrow`.
fn covers(wide: IpAddr, v6only: bool, narrow: IpAddr) -> bool {
    match (wide, narrow) {
        (left, right) if left == right => true,
        (IpAddr::V4(wide), IpAddr::V4(_)) => wide.is_unspecified(),
        (IpAddr::V6(wide), IpAddr::V6(_)) => wide.is_unspecified(),
        (IpAddr::V6(wide), IpAddr::V4(_)) => wide.is_unspecified() && !v6only,
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

/// As it is written in the configuration.
impl std::fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { address, .. } => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug, Clone)]
pub enum ListenerKind {
    Http(Box<HttpListener>),
    /// Bytes are passed on as they come.
    Stream(Box<StreamListener>),
    /// Read-only `/livez`, `/readyz` and `/metrics`.
    Status,
}

impl ListenerKind {
    /// As it is written in the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Stream(stream) => stream.kind.word(),
            Self::Status => "status",
        }
    }

    /// Whether it is served by workers and carries routes.
    pub fn carries_routes(&self) -> bool {
        !matches!(self, Self::Status)
    }

    /// Its own TLS.
    pub fn tls(&self) -> Option<&ListenerTls> {
        match self {
            Self::Http(http) => http.tls.as_ref(),
            Self::Stream(stream) => stream.tls.as_ref(),
            Self::Status => None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct HttpListener {
    pub tls: Option<ListenerTls>,
    pub protocols: Protocols,
    pub request_limits: RequestLimits,
    pub connection_limits: ConnectionLimits,
    pub timeouts: ListenerTimeouts,
    /// Names with `_` are refused unless allowed: many servers read `_` and `-` as one.
    pub header_underscores: Underscores,
    pub trust: Trust,
    pub proxy_protocol: ProxyProtocol,
    pub upgrades: Upgrades,
}

/// Which peers are trusted to name the client: the address it claims to forward for, and all that goes
/// with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    #[default]
    None,
    /// Proxies by their addresses. Never empty.
    Proxies(Networks),
    /// Whoever connects is the last of this many proxies.
    Hops(NonZeroU8),
}

impl Trust {
    /// Whether a peer is trusted to name its client. On a Unix socket it has no address.
    pub fn covers(&self, peer: Option<IpAddr>) -> bool {
        match self {
            Self::None => false,
            Self::Proxies(networks) => peer.is_some_and(|peer| networks.contains(peer)),
            Self::Hops(_) => true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpProtocol {
    Http1,
    Http2,
}

/// The versions of HTTP that a listener speaks; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    pub http1: bool,
    pub http2: bool,
}

impl Default for Protocols {
    fn default() -> Self {
        Self { http1: true, http2: true }
    }
}

impl Protocols {
    /// The tokens offered in a TLS handshake, in order of preference.
    pub fn alpn(self) -> Vec<String> {
        let offered = [(self.http2, "h2"), (self.http1, "http/1.1")];
        offered.iter().filter(|(spoken, _)| *spoken).map(|(_, token)| (*token).to_owned()).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Underscores {
    Reject,
    Allow,
}

#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// Bytes of request line and header lines together; at most 60 KiB.
    pub header_bytes: Sourced<u32>,
    /// Header lines.
    pub headers: Sourced<u16>,
    /// Bytes of the request target; at most `header_bytes`.
    pub uri: Sourced<u32>,
    /// Bytes of a request body, decoded.
    pub body: Sourced<u64>,
}

#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Open client connections of this listener over all workers.
    pub max: Sourced<NonZeroU32>,
    /// The longest that one lives; up to a tenth sooner.
    pub max_age: Option<Sourced<Duration>>,
}

#[derive(Debug, Clone)]
pub struct ListenerTimeouts {
    /// From the first byte of a request (or the accept) to the end of its head.
    pub head: Sourced<Duration>,
    /// A keep-alive connection without a request.
    pub idle: Sourced<Duration>,
    /// Without one byte of progress while a body is being read or a response written.
    pub body: Sourced<Duration>,
    /// From the accept to the end of the TLS handshake.
    pub handshake: Sourced<Duration>,
}

#[derive(Debug, Clone)]
pub struct ListenerTls {
    pub location: Location,
    /// Never empty. The first one answers clients whose SNI names no other.
    pub certificates: Vec<CertificateSource>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    pub client_auth: Option<ClientAuth>,
    /// ALPN tokens offered, in order of preference.
    pub alpn: Vec<String>,
}

#[derive(Debug, Clone)]
pub enum CertificateSource {
    Files {
        cert: FileRef,
        key: FileRef,
    },
    /// A development certificate made at start for these names; never for production.
    SelfSigned {
        names: Vec<String>,
        location: Location,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V12,
    V13,
}

#[derive(Debug, Clone)]
pub struct ClientAuth {
    pub mode: ClientAuthMode,
    pub ca: FileRef,
    pub crl: Option<FileRef>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// A certificate is asked for; one that is shown must verify.
    Optional,
    Required,
}
