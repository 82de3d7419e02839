//! The validated configuration: what the rest of Portcullis reads.
//!
//! Every value here obeys its rules already; nothing in this module looks at YAML, and nothing
//! that reads it has to check again. Names that refer to other things are resolved to indices, so
//! a dangling reference cannot be expressed.

mod listener;
mod route;
mod stream;
mod upstream;
mod websocket;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::location::{FileRef, Located, Location, Sourced};
use crate::policy::Policies;
use crate::text::Template;
use crate::values::{HeaderName, Share};

pub use listener::{
    CertificateSource, ClientAuth, ClientAuthMode, ConnectionLimits, HttpListener, HttpProtocol,
    ListenAddress, Listener, ListenerKind, ListenerTimeouts, ListenerTls, Protocols, RequestLimits,
    TlsVersion, Trust, Underscores,
};
pub use route::{
    Action, Backend, Forward, HeaderEdits, HeaderValueEdit, HostHandling, Match, Redirect,
    RedirectPath, Reply, Retry, Rewrite, Route, RouteTimeouts, Scheme, StickyCookie, ValueMatch,
    ValueTest,
};
pub use stream::{
    ProxyProtocol, ProxyVersion, StreamKind, StreamListener, StreamRoute, StreamTimeouts,
};
pub use upstream::{
    BalancePolicy, Concurrency, EndpointSource, EndpointTarget, HashKey, KeepAlive, LoadBalancer,
    TrustAnchors, Upstream, UpstreamProtocol, UpstreamTls,
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
    pub limits: Limits,
    pub access_log: AccessLog,
    pub admin: Option<Admin>,
    pub shutdown: Shutdown,
}

impl Config {
    /// The files that policies in force name, once each, in the order of their paths.
    pub fn policy_files(&self) -> Vec<&FileRef> {
        let http = self.routes.iter().map(|route| &route.policies);
        let routes = http.chain(self.stream_routes.iter().map(|route| &route.policies));
        let routes = routes.flat_map(|policies| policies.iter().map(|(_, policies)| policies));
        let all = self.listeners.iter().map(|listener| &listener.policies).chain(routes);
        let mut files: Vec<_> = all.flat_map(Policies::files).collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        files.dedup();
        files
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One for each core that the process may run on.
    Auto,
    Count(NonZeroUsize),
}

/// What the process as a whole may take.
#[derive(Debug, Clone)]
pub struct Limits {
    pub memory: Sourced<MemoryLimit>,
}

/// How much may be resident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// What the container may take, less a tenth; nothing outside of one.
    Auto,
    Disabled,
    Bytes(u64),
}

/// Index of a listener in [`Config::listeners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub usize);

/// Index of an upstream in [`Config::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

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
