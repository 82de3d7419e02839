//! The result of a decision.

use std::sync::Arc;

use portcullis_config::model::UpstreamId;

use super::DecisionScratch;
use crate::cause::Cause;
use crate::error::Reason;
use crate::message::{RequestHead, Span};
use crate::policy::Policy;
use crate::policy::judge::Question;
use crate::policy::sticky::Sticky;
use crate::route::{Forward, Route, Timeouts};

#[derive(Debug)]
pub enum Step<'t> {
    Reject(Rejection<'t>),
    Respond(ProxyReply<'t>),
    /// Answer the question, then call [`resume`](super::resume).
    Ask(Pause<'t>),
    Plan(Plan<'t>),
}

/// Refused, with the route it had taken by then.
#[derive(Debug, Clone, Copy)]
pub struct Rejection<'t> {
    pub cause: Cause,
    pub route: Option<&'t Arc<Route>>,
}

/// An answer that the configuration gives. The route's response edits apply to it.
#[derive(Debug, Clone, Copy)]
pub struct ProxyReply<'t> {
    /// `None` where a policy of the listener answers a request that no route takes.
    pub route: Option<&'t Arc<Route>>,
    pub reason: Reason,
    pub status: u16,
    pub content_type: Option<&'t str>,
    pub body: &'t [u8],
    /// The value of `location` is in the scratch: [`DecisionScratch::location`].
    pub has_location: bool,
}

/// A decision that waits for an answer. The request must not change meanwhile.
#[derive(Debug)]
pub struct Pause<'t> {
    pub question: Question,
    pub(super) position: Position<'t>,
}

impl<'t> Pause<'t> {
    pub fn route(&self) -> Option<&'t Arc<Route>> {
        self.position.route.ok()
    }

    /// Splits into the question and the state to resume with, once.
    pub fn ask(self) -> (Question, Resumable<'t>) {
        (self.question, Resumable(self.position))
    }
}

/// A decision whose question is being answered.
#[derive(Debug)]
pub struct Resumable<'t>(pub(super) Position<'t>);

/// The state of an unfinished decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position<'t> {
    /// The route, or why there is none.
    pub(super) route: Result<&'t Arc<Route>, Cause>,
    pub(super) policies: &'t [Policy],
    /// Index of the policy that is asked next, or that has asked.
    pub(super) next: usize,
    pub(super) path: PathSource,
}

/// How a request is forwarded. It borrows the table alone: what depends on the request lies in
/// its head or its scratch and is read through the methods.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'t> {
    pub route: &'t Arc<Route>,
    pub forward: &'t Forward,
    pub upstream: UpstreamId,
    pub path: PathSource,
    pub host: HostSource<'t>,
    pub sticky: Option<Sticky<'t>>,
    /// Extra tries.
    pub retries: u8,
    /// Bytes of the request's body, or of each message of a call.
    pub body_limit: u64,
}

/// Where the path to send lies. The query is that of the head, unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathSource {
    /// As the client wrote it.
    Head(Span),
    /// `/`, for the empty path of an absolute target.
    Root,
    Normalised,
    Rewritten,
}

/// The `host` to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSource<'t> {
    /// The authority of the head; never empty.
    Client,
    /// The name or address of the endpoint that is chosen.
    Endpoint,
    Fixed(&'t str),
}

impl<'t> Plan<'t> {
    pub fn timeouts(&self) -> &'t Timeouts {
        &self.forward.timeouts
    }

    /// The path to send.
    pub fn path<'a>(&self, head: &RequestHead<'a>, scratch: &'a DecisionScratch) -> &'a [u8] {
        match self.path {
            PathSource::Head(span) => span.of(head.bytes),
            PathSource::Root => b"/",
            PathSource::Normalised => &scratch.path,
            PathSource::Rewritten => &scratch.made,
        }
    }
}
