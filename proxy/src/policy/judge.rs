//! What a policy of a route sees of a request, and what it may decide.
//!
//! A policy is a value that was compiled with its route. It reads the head in the form that all
//! protocols share, writes into two lists (lines of the request that goes up, lines of the response
//! that comes back, a refusal among them), and gives a verdict. It performs no I/O and never waits:
//! what takes long is a [`Question`] that a driver answers.

use std::net::IpAddr;

use super::PolicyFault;
use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::http1::changes::Changes;
use crate::message::RequestHead;

/// A request of which the route is known.
#[derive(Debug, Clone, Copy)]
pub struct Inspected<'a> {
    pub head: RequestHead<'a>,
    /// In its normal form: lower case, no port. Empty where a client of HTTP/1.0 named none.
    pub host: &'a [u8],
    /// In its normal form.
    pub path: &'a [u8],
    /// The client's address; `None` on a Unix socket.
    pub client: Option<IpAddr>,
    /// The client's own connection is encrypted.
    pub tls: bool,
}

/// The two lists of a request.
#[derive(Debug, Default)]
pub struct Lists {
    /// Lines of the request that goes up.
    pub request: Changes,
    /// Lines of the response that comes back, whoever makes it.
    pub response: Changes,
}

impl Lists {
    /// Keeps the allocations.
    pub fn clear(&mut self) {
        self.request.clear();
        self.response.clear();
    }
}

/// A policy that a route may have.
pub trait Judge: Sized {
    /// Its key in the configuration, and its name in explanations.
    const NAME: &'static str;
    /// What the configuration says of it.
    type Settings;

    /// Prepares it. `before` is what the same settings of the same route came to in the generation
    /// before: what it has learnt is taken over.
    ///
    /// # Errors
    /// When it cannot be prepared as it is configured.
    fn compile(settings: &Self::Settings, before: Option<&Self>) -> Result<Self, PolicyFault>;

    /// The header by which it tells the upstream who the client is. No client may send it, on any
    /// route of the listener.
    fn identity_header(&self) -> Option<&str> {
        None
    }

    /// Decides on a request. Asked once for each request of its route.
    fn judge(&self, request: &Inspected<'_>, lists: &mut Lists) -> Verdict;

    /// Goes on with the answer to what it asked. Only of a policy that asks.
    fn resume(&self, _: &Inspected<'_>, _: &mut Lists, _: Answer) -> Verdict {
        Verdict::Refuse(Reason::Internal.into())
    }
}

/// What a policy decides.
#[derive(Debug)]
pub enum Verdict {
    /// The next policy is asked.
    Pass,
    Refuse(Cause),
    /// The request is answered here, with the status of this reason and no body.
    Answer(Reason),
    /// The policy cannot tell without an answer: [`Judge::resume`] is given that.
    Ask(Question),
}

impl Verdict {
    pub fn refuse(rule: Rule) -> Self {
        Self::Refuse(rule.in_request())
    }
}

/// What must be found out before the decision goes on.
pub enum Question {
    /// It takes longer than a worker may be held up.
    Compute(Work),
}

/// Work for a thread that is no worker.
pub type Work = Box<dyn FnOnce() -> Answer + Send>;

impl std::fmt::Debug for Question {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compute(_) => out.write_str("Compute"),
        }
    }
}

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// It could not be found out in time.
    Unknown,
}
