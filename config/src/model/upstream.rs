//! Upstreams: where requests and connections go, how an endpoint is chosen, and how it is spoken to.
//!
//! Knows nothing of the routes that lead there.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use super::{ProxyVersion, TlsVersion};
use crate::location::{FileRef, Location, Sourced};
use crate::values::HeaderName;

#[derive(Debug, Clone)]
pub struct Upstream {
    pub name: String,
    pub location: Location,
    /// Never empty.
    pub endpoints: Vec<EndpointSource>,
    pub load_balancer: LoadBalancer,
    pub tls: Option<UpstreamTls>,
    pub protocol: UpstreamProtocol,
    pub concurrency: Concurrency,
    pub keep_alive: KeepAlive,
    /// A TCP connect and its TLS handshake together.
    pub connect_timeout: Sourced<Duration>,
    /// The header that each connection begins with.
    pub proxy_protocol: Option<ProxyVersion>,
}

#[derive(Debug, Clone)]
pub struct EndpointSource {
    pub target: EndpointTarget,
    /// Share of traffic among the endpoints of its upstream.
    pub weight: NonZeroU16,
    pub location: Location,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointTarget {
    Address(SocketAddr),
    Unix(PathBuf),
    /// Each address of the answer is an endpoint; asked again when its TTL is over.
    Dns {
        host: String,
        port: NonZeroU16,
    },
}

#[derive(Debug, Clone)]
pub struct LoadBalancer {
    pub policy: Sourced<BalancePolicy>,
    /// A new endpoint's share grows from a tenth to its whole over this time.
    pub slow_start: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BalancePolicy {
    RoundRobin,
    LeastRequest,
    P2cEwma,
    Random,
    RingHash(HashKey),
    Maglev(HashKey),
}

/// What a consistent-hash policy hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    Header(HeaderName),
    Cookie(String),
    Query(String),
    SourceIp,
    Path,
}

#[derive(Debug, Clone)]
pub struct Concurrency {
    /// Open connections to the upstream, over all endpoints and workers.
    pub max_connections: Sourced<NonZeroU32>,
    /// Requests that wait for a connection, over all workers.
    pub max_pending: Sourced<u32>,
}

#[derive(Debug, Clone)]
pub struct KeepAlive {
    /// Idle connections kept for each endpoint and worker; 0 closes after each request.
    pub max_idle: Sourced<u32>,
    /// Kept shorter when the upstream says so in its `keep-alive: timeout=`.
    pub idle_timeout: Sourced<Duration>,
}

#[derive(Debug, Clone)]
pub struct UpstreamTls {
    pub location: Location,
    /// Who vouches for the upstream: a file, or the system's store.
    pub ca: TrustAnchors,
    pub client_certificate: Option<(FileRef, FileRef)>,
    /// Sent as SNI and checked against the certificate; else the endpoint's DNS name or address.
    pub server_name: Option<String>,
    /// When not empty, one of these names (DNS or URI) must stand in the certificate instead.
    pub identities: Vec<String>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    /// ALPN tokens offered, in order of preference.
    pub alpn: Vec<String>,
}

/// Wherever they are written.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            location: _,
            ca,
            client_certificate,
            server_name,
            identities,
            min_version,
            max_version,
            alpn,
        } = self;
        *ca == other.ca
            && *client_certificate == other.client_certificate
            && *server_name == other.server_name
            && *identities == other.identities
            && *min_version == other.min_version
            && *max_version == other.max_version
            && *alpn == other.alpn
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustAnchors {
    System,
    File(FileRef),
    /// No verification at all; `check` warns of it.
    InsecureNoVerify,
}

/// What an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// Under TLS what its handshake agrees on, else HTTP/1.1.
    #[default]
    Auto,
    Http1,
    Http2,
}
