//! Which route a request takes: the live routes and their table.
//!
//! A built table is immutable and shared between workers; a lookup allocates nothing. Routes know no
//! live state (endpoints, counters): a route names its upstreams by
//! [`UpstreamId`](portcullis_config::model::UpstreamId), and other modules keep their state for each
//! route in a list by [`RouteId`].

pub mod backends;
mod compile;
pub mod matcher;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
mod values;

use std::time::Duration;

use portcullis_config::location::Location;
use portcullis_config::model::{HostHandling, ListenerId};

pub use compile::{RouteError, RouteFault, compile};
pub use matcher::{Matcher, Mismatch, Normalised};
pub use table::Table;

use crate::http1::edits::Edits;
use crate::policy::RoutePolicies;
use crate::policy::redirect::Redirect;
use crate::policy::reply::Reply;
use crate::policy::rewrite::Rewrite;
use crate::policy::sticky::StickyPolicy;
use crate::websocket;
use backends::Backends;

/// Index of a route in `Config::routes`, and in every list kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub usize);

/// A route in its live form, with everything prepared that does not depend on a request.
#[derive(Debug)]
pub struct Route {
    pub id: RouteId,
    pub name: String,
    pub location: Location,
    pub listeners: Vec<ListenerId>,
    pub matcher: Matcher,
    pub action: Action,
    pub policies: RoutePolicies,
    pub request_edits: Edits,
    pub response_edits: Edits,
    /// `%2F` in a path is forwarded, not refused.
    pub allow_encoded_slash: bool,
    /// Overrides the listener's body limit.
    pub body_limit: Option<u64>,
}

#[derive(Debug)]
pub enum Action {
    Forward(Box<Forward>),
    Redirect(Redirect),
    Reply(Reply),
}

#[derive(Debug)]
pub struct Forward {
    pub backends: Backends,
    pub sticky: Option<StickyPolicy>,
    pub rewrite: Option<Rewrite>,
    pub host: HostHandling,
    pub timeouts: Timeouts,
    /// Retries of a request that was certainly not sent.
    pub retries: u8,
    /// All of its upstreams speak HTTP/2: the messages of a call are followed on their way.
    pub follows_messages: bool,
    /// Calls of gRPC-Web are translated.
    pub grpc_web: bool,
    pub websocket: websocket::Rules,
}

/// A route's effective timeouts; their origins stay in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the end of the request's head to the response's head, over all attempts.
    pub response: Duration,
    /// One attempt's share of it.
    pub per_try: Duration,
    /// How long both directions may be silent, once the response has begun.
    pub idle: Duration,
}
