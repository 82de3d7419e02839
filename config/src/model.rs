//! The validated configuration: what the rest of Portcullis reads.
//!
//! Every value here obeys its rules already; nothing in this module looks at YAML, and nothing
//! that reads it has to check again. Names that refer to other things are resolved to indices, so
//! a dangling reference cannot be expressed.

mod stream;
mod upstream;
mod websocket;

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use crate::location::{FileRef, Located, Location, Sourced};
use crate::networks::Networks;
use crate::text::Template;
use crate::values::{HeaderName, HostPattern, MethodName, PathPattern, Share, Status};

pub use stream::{
    ProxyProtocol, ProxyVersion, StreamKind, StreamListener, StreamRoute, StreamTimeouts,
};
pub use upstream::{
    BalancePolicy, Concurrency, EndpointSource, EndpointTarget, HashKey, KeepAlive, LoadBalancer,
    TrustAnchors, Upstream, UpstreamTls,
};
pub use websocket::{CloseCode, Upgrade, Upgrades, WebSocket, WebSocketDrain};

/// A whole configuration, valid in itself. What needs the world (certificates, name servers)
/// is checked when the live state is built from it.
#[derive(Debug, Clone)]
pub struct Config {
    pub workers: Workers,
    pub listeners: Vec<Listener>,
    pub upstreams: Vec<Upstream>,
    /// In the order of the file, which is the last tie-breaker of matching.
    pub routes: Vec<Route>,
    /// Those of `tcp` and `tls-passthrough` listeners, in the order of the file.
    pub stream_routes: Vec<StreamRoute>,
    pub access_log: AccessLog,
    pub admin: Option<Admin>,
    pub shutdown: Shutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One for each core that the process may run on.
    Auto,
    Count(NonZeroUsize),
}

/// Index of a listener in [`Config::listeners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub usize);

/// Index of an upstream in [`Config::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

#[derive(Debug, Clone)]
pub struct Listener {
    pub name: String,
    pub location: Location,
    pub address: ListenAddress,
    pub kind: ListenerKind,
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

/// Whose word on a client is believed: the address it claims to forward for, and all that goes
/// with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    #[default]
    Nobody,
    /// Proxies by their addresses. Never empty.
    Proxies(Networks),
    /// Whoever connects is the last of this many proxies.
    Hops(NonZeroU8),
}

impl Trust {
    /// Whether what a peer says of its client is believed; it has no address on a Unix socket.
    pub fn covers(&self, peer: Option<IpAddr>) -> bool {
        match self {
            Self::Nobody => false,
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

/// What an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// Under TLS what its handshake agrees on, else HTTP/1.1.
    #[default]
    Auto,
    Http1,
    Http2,
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

#[derive(Debug, Clone)]
pub struct Route {
    pub name: String,
    pub location: Location,
    /// Never empty: the listeners that carry it, all http listeners when the file names none.
    pub listeners: Vec<ListenerId>,
    pub matcher: Match,
    pub action: Action,
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
    /// A path may hold `%2f`, handed on as it came.
    pub allow_encoded_slash: bool,
    /// Overrides the listener's body limit.
    pub body_limit: Option<Sourced<u64>>,
}

/// All that is given must hold.
#[derive(Debug, Clone)]
pub struct Match {
    /// Empty matches any host.
    pub hosts: Vec<HostPattern>,
    pub path: PathPattern,
    /// Empty matches any method.
    pub methods: Vec<MethodName>,
    pub headers: Vec<ValueMatch<HeaderName>>,
    pub query: Vec<ValueMatch<String>>,
    pub cookies: Vec<ValueMatch<String>>,
}

#[derive(Debug, Clone)]
pub struct ValueMatch<N> {
    pub name: N,
    pub test: ValueTest,
}

#[derive(Debug, Clone)]
pub enum ValueTest {
    Present,
    Absent,
    Exact(String),
    Prefix(String),
    /// Anchored at both ends already: it matches the whole value or nothing.
    Regex(regex::Regex),
}

#[derive(Debug, Clone)]
pub enum Action {
    Forward(Box<Forward>),
    Redirect(Redirect),
    Reply(Reply),
}

#[derive(Debug, Clone)]
pub struct Forward {
    /// Never empty, and their weights sum to more than nothing.
    pub backends: Vec<Backend>,
    pub sticky: Option<StickyCookie>,
    pub rewrite: Option<Rewrite>,
    pub host: HostHandling,
    pub timeouts: RouteTimeouts,
    pub retry: Retry,
    /// Calls of gRPC-Web are translated; where that is said.
    pub grpc_web: Option<Location>,
    pub websocket: WebSocket,
}

#[derive(Debug, Clone)]
pub struct Backend {
    pub upstream: UpstreamId,
    pub weight: u32,
    pub location: Location,
}

/// A client keeps its backend and endpoint while it shows the cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    pub cookie: String,
    pub max_age: Option<Duration>,
}

#[derive(Debug, Clone)]
pub enum Rewrite {
    /// Replaces the matched prefix, which the route has; held without a trailing slash, the root
    /// as the empty string.
    Prefix(String),
    /// Replaces the whole path.
    Path(String),
    /// Applied to the whole path; `$1` and `${name}` stand for groups.
    Regex { pattern: regex::Regex, replacement: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHandling {
    /// What the client sent.
    Preserve,
    /// The endpoint's own DNS name or address.
    Upstream,
    Set(String),
}

#[derive(Debug, Clone)]
pub struct RouteTimeouts {
    /// From the end of the request's head to the response's head, over all attempts.
    pub response: Sourced<Duration>,
    /// One attempt's share of it.
    pub per_try: Sourced<Duration>,
    /// Without one byte in either direction, once the response has begun.
    pub idle: Sourced<Duration>,
}

/// Only requests that surely never reached an upstream are sent again (`not-sent`).
#[derive(Debug, Clone)]
pub struct Retry {
    /// Extra tries.
    pub retries: Sourced<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub scheme: Option<Scheme>,
    pub host: Option<String>,
    pub port: Option<NonZeroU16>,
    pub path: Option<RedirectPath>,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectPath {
    Full(String),
    /// Replaces the matched prefix; held like [`Rewrite::Prefix`].
    Prefix(String),
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: Status,
    pub content_type: Option<String>,
    pub body: Template,
}

/// Applied in the order remove, set, add.
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits {
    pub remove: Vec<HeaderName>,
    pub set: Vec<HeaderValueEdit>,
    pub add: Vec<HeaderValueEdit>,
}

#[derive(Debug, Clone)]
pub struct HeaderValueEdit {
    pub name: HeaderName,
    pub value: Template,
}

#[derive(Debug, Clone)]
pub struct AccessLog {
    pub sink: AccessLogSink,
    /// Include the timeline of each request.
    pub timeline: bool,
    pub sample: Share,
    /// Request headers to record; secrets among them are never recorded.
    pub headers: Vec<HeaderName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogSink {
    Disabled,
    Stdout,
    Stderr,
    File(FileRef),
}

#[derive(Debug, Clone)]
pub struct Admin {
    pub location: Location,
    pub address: AdminAddress,
    /// Asked as a bearer token of every call that changes something.
    pub token: Option<Template>,
}

/// Loopback or a Unix socket: anything else does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    Loopback(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Clone)]
pub struct Shutdown {
    pub drain_timeout: Sourced<Duration>,
}

/// A name with the place it was written, for what is checked only once the world is known.
pub type LocatedName = Located<String>;
