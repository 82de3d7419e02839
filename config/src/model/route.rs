//! Routes of HTTP: which requests they take, and what becomes of them.
//!
//! Names of listeners and upstreams are indices already.

use std::num::NonZeroU16;
use std::time::Duration;

use super::{ListenerId, UpstreamId, WebSocket};
use crate::location::{Location, Sourced};
use crate::policy::RoutePolicies;
use crate::text::Template;
use crate::values::{HeaderName, HostPattern, MethodName, PathPattern, Status};

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
    pub policies: RoutePolicies,
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
