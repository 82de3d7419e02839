//! Listeners and routes of bytes that are passed on, and the PROXY protocol.
//!
//! What they share with those of HTTP stands in the module above.

use std::time::Duration;

use super::{Backend, ConnectionLimits, ListenerId, ListenerTls, Retry, Trust};
use crate::location::{Location, Sourced};
use crate::policy::RoutePolicies;
use crate::values::HostPattern;

/// A listener whose connections become tunnels.
#[derive(Debug, Clone)]
pub struct StreamListener {
    pub kind: StreamKind,
    /// Only where the kind is `tcp`.
    pub tls: Option<ListenerTls>,
    pub connection_limits: ConnectionLimits,
    pub timeouts: StreamTimeouts,
    pub trust: Trust,
    pub proxy_protocol: ProxyProtocol,
}

/// What is read of a connection before its route is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Nothing.
    Tcp,
    /// The first message of its TLS handshake, which is passed on with all that follows.
    TlsPassthrough,
}

impl StreamKind {
    /// As it is written in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::TlsPassthrough => "tls-passthrough",
        }
    }
}

#[derive(Debug, Clone)]
pub struct StreamTimeouts {
    /// From the accept to the end of a PROXY protocol header.
    pub head: Sourced<Duration>,
    /// The TLS handshake; of one that is passed on, its first message.
    pub handshake: Sourced<Duration>,
}

/// Whether connections begin with a PROXY protocol header. Anything but `Disabled` stands beside
/// a trust in somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    #[default]
    Disabled,
    /// One of a trusted peer is believed; what else comes first is the client's own.
    Accept,
    /// A connection without one of a trusted peer is closed.
    Require,
}

/// The text form and the binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// A route of `tcp` or `tls-passthrough` listeners.
#[derive(Debug, Clone)]
pub struct StreamRoute {
    pub name: String,
    pub location: Location,
    /// Never empty, and all of one kind.
    pub listeners: Vec<ListenerId>,
    /// Names that clients ask for; empty takes any, and none.
    pub sni: Vec<HostPattern>,
    /// Never empty, and their weights sum to more than nothing.
    pub backends: Vec<Backend>,
    /// Without one byte in either direction.
    pub idle: Sourced<Duration>,
    pub retry: Retry,
    /// Those that are not for HTTP alone.
    pub policies: RoutePolicies,
}
