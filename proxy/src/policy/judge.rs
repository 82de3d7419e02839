//! What a policy of a route sees of a request, and what it may decide.
//!
//! A policy is a value that was compiled with its route. It reads the head in the form that all
//! protocols share. It may add lines to the request and to the response (also to a refusal), and
//! returns a verdict. It performs no I/O and never waits: slow work is a [`Question`] that the driver
//! answers.

use std::net::IpAddr;

use super::PolicyFault;
use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::http1::changes::Changes;
use crate::message::RequestHead;

/// A request whose route is known.
#[derive(Debug, Clone, Copy)]
pub struct Inspected<'a> {
    pub head: RequestHead<'a>,
    /// Normalised: lower case, no port. Empty if an HTTP/1.0 request has no host.
    pub host: &'a [u8],
    /// Normalised.
    pub path: &'a [u8],
    /// The client's address; `None` on a Unix socket.
    pub client: Option<IpAddr>,
    /// The client's own connection is encrypted.
    pub tls: bool,
}

/// The two lists of a request.
#[derive(Debug, Default)]
pub struct Lists {
    /// Lines of the request to the upstream.
    pub request: Changes,
    /// Lines of the response to the client, from the upstream or from the proxy.
    pub response: Changes,
}

impl Lists {
    /// Empties the lists and keeps their allocations.
    pub fn clear(&mut self) {
        self.request.clear();
        self.response.clear();
    }
}

/// A policy that a route may have.
pub trait Judge: Sized {
    /// Its key in the configuration, and its name in explanations.
    const NAME: &'static str;
    /// Its settings in the configuration.
    type Settings;

    /// Prepares the policy. `before` is the policy of the same route and the same settings in the
    /// previous generation; its learnt state is taken over.
    ///
    /// # Errors
    /// If it cannot be prepared as configured.
    fn compile(settings: &Self::Settings, before: Option<&Self>) -> Result<Self, PolicyFault>;

    /// The header by which it tells the upstream who the client is. No client may send it, on any
    /// route of the listener.
    fn identity_header(&self) -> Option<&str> {
        None
    }

    /// Decides on a request. Asked once for each request of its route.
    fn judge(&self, request: &Inspected<'_>, lists: &mut Lists) -> Verdict;

    /// Continues with the answer to its question. Called only if the policy asked.
    fn resume(&self, _: &Inspected<'_>, _: &mut Lists, _: Answer) -> Verdict {
        Verdict::Refuse(Reason::Internal.into())
    }
}

/// What a policy decides.
#[derive(Debug)]
pub enum Verdict {
    /// The next policy runs.
    Pass,
    Refuse(Cause),
    /// The proxy answers, with the status of this reason and no body.
    Answer(Reason),
    /// The policy needs an answer first: [`Judge::resume`] gets it.
    Ask(Question),
}

impl Verdict {
    pub fn refuse(rule: Rule) -> Self {
        Self::Refuse(rule.in_request())
    }
}

/// What must be answered before the decision continues.
pub enum Question {
    /// A computation that would block a worker for too long.
    Compute(Work),
}

/// Work for a thread that is not a worker.
pub type Work = Box<dyn FnOnce() -> Answer + Send>;

impl std::fmt::Debug for Question {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compute(_) => out.write_str("Compute"),
        }
    }
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// There was no answer in time.
    Unknown,
}
