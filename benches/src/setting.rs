//! What engines are set up for, as data; each does it in its own way.
//!
//! It knows neither an engine nor a load.

/// What engines are set up for; each does it in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) listener: Listener,
    pub(crate) origin: Origin,
    /// Whether every request is logged.
    pub(crate) logs: bool,
    /// Routes with a host and a path of their own; 0 is one route for everything.
    pub(crate) routes: u32,
    pub(crate) workers: u32,
    pub(crate) policies: Policies,
    pub(crate) cores: Cores,
}

impl Setting {
    /// As the engines come: HTTP/1 on both sides, everything logged, one worker on its own core.
    pub(crate) const PLAIN: Self = Self {
        listener: Listener::Http1,
        origin: Origin::Http1,
        logs: true,
        routes: 0,
        workers: 1,
        policies: Policies::Default,
        cores: Cores::Split,
    };
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Http1,
    /// HTTP/2 by prior knowledge, without TLS.
    H2c,
    /// TLS; HTTP/2 or HTTP/1 by ALPN.
    Tls,
}

/// What the origin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Http1,
    /// HTTP/2 without TLS, answering every call of gRPC alike.
    Grpc,
    /// HTTP/2 without TLS, sending every message of a call back.
    GrpcEcho,
    /// Sends every message of a WebSocket back.
    WebSocketEcho,
    /// The shop itself, five services behind ten prefixes.
    Shop,
}

/// What an engine does with a request besides passing it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policies {
    /// As little as the configuration allows.
    Off,
    Default,
    /// Every policy that there is, at work.
    All,
}

/// Who runs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The engine on one core; origin, generator and whoever takes a log on another.
    Split,
    /// Everybody wherever the kernel puts them.
    Shared,
}
