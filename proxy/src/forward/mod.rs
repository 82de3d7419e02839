//! Forwarding: attempts at an upstream, until one has a response or no further attempt is allowed;
//! then the response to the client.
//!
//! A request is sent again only if it was certainly not processed (`not-sent`): the connect failed,
//! a reused connection broke before it took the first byte, or the upstream refused the stream. The
//! body that was sent must still be in memory.

use std::rc::Rc;

use tokio::time::Instant;

use self::attempt::{AttemptTarget, attempt};
use self::sending::{keep, rewind};
pub use self::stream::{Answered, stream};
use crate::cause::{Cause, Rule};
use crate::decide::Plan;
use crate::error::Reason;
use crate::exchange::{Exchange, Next, next};
use crate::http1::edits::Edits;
use crate::respond;
use crate::snapshot::HttpListener;
use crate::upstream::attempts::{Attempts, Budget, try_each};
use crate::upstream::balance::{PickKey, Picked, hash_of};
use crate::upstream::local::LocalUpstream;
use crate::worker::Current;

mod answer;
mod attempt;
mod commit;
mod explain;
mod head;
mod interim;
mod outgoing;
mod sending;
mod stream;
mod upgrade;

/// Bytes of a request's body that are kept for a retry.
const KEPT_BODY: usize = 64 * 1024;

/// The result of a request up to the point where its generation is released.
pub enum ForwardOutcome<'c> {
    Ended(Next),
    Answered(Answered<'c>),
}

/// Why an attempt failed.
struct AttemptFailure {
    cause: Cause,
    /// The request was not processed: another attempt cannot run it twice.
    not_sent: bool,
}

impl AttemptFailure {
    fn sent(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), not_sent: false }
    }

    fn not_sent(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), not_sent: true }
    }

    /// Names the timeout that the response has exceeded.
    fn name_timeout(self, target: &AttemptTarget<'_>) -> Self {
        let rule = match self.cause {
            Cause { reason: Reason::UpstreamTimeout, rule: None } => {
                let per_try = target.give_up < target.answer_by;
                if per_try { Rule::PerTryTimeout } else { Rule::ResponseTimeout }
            }
            _ => return self,
        };
        Self { cause: rule.in_response(), ..self }
    }
}

/// Sends the request to the planned upstream until its response has begun. Timeouts count from
/// `routed`: the clock is read after a wait, not at every step.
pub async fn forward<'c>(
    exchange: &mut Exchange<'c>,
    current: &Current,
    listener: &HttpListener,
    plan: &Plan<'_>,
    routed: Instant,
) -> ForwardOutcome<'c> {
    let edits = &plan.route.response_edits;
    let call = exchange.call;
    let Some(upstream) = current.upstreams.get(plan.upstream.0) else {
        return ForwardOutcome::Ended(fail(exchange, edits, Reason::Internal.into()).await);
    };
    let key = pick_key(exchange, upstream, plan);
    let budget = Budget { upstream, key: &key, extra: plan.retries, begun: routed };
    keep(exchange, KEPT_BODY);
    let end = call.and_then(|call| call.deadline);
    let give_up = within(end, routed + plan.timeouts().response);
    let mut requests = Requests { exchange, listener, plan, upstream, end, give_up };
    match try_each(&budget, &mut requests).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            let cause = requests.name(failure.cause);
            ForwardOutcome::Ended(fail(requests.exchange, edits, cause).await)
        }
    }
}

/// The request, sent until one attempt has a response.
struct Requests<'r, 'c> {
    exchange: &'r mut Exchange<'c>,
    listener: &'r HttpListener,
    plan: &'r Plan<'r>,
    upstream: &'r Rc<LocalUpstream>,
    /// The deadline of the call, whatever makes progress.
    end: Option<Instant>,
    /// The deadline for a response of any attempt.
    give_up: Instant,
}

impl<'c> Attempts for Requests<'_, 'c> {
    type Answer = ForwardOutcome<'c>;
    type Failure = AttemptFailure;

    async fn attempt(
        &mut self,
        picked: &Picked,
        now: Instant,
    ) -> Result<ForwardOutcome<'c>, AttemptFailure> {
        self.exchange.attempts += 1;
        self.exchange.forget_note();
        let target = AttemptTarget {
            listener: self.listener,
            plan: self.plan,
            upstream: self.upstream,
            picked,
            started: now,
            give_up: self.give_up.min(now + self.plan.timeouts().per_try),
            answer_by: self.give_up,
        };
        let outcome = attempt(self.exchange, &target).await;
        outcome.map_err(|failure| failure.name_timeout(&target))
    }

    fn may_follow(&mut self, failure: &AttemptFailure, now: Instant) -> bool {
        // The time in which the client sent its body does not count for the upstream.
        self.give_up = within(self.end, self.give_up + self.exchange.upload.took.get());
        failure.not_sent && now < self.give_up && rewind(self.exchange)
    }

    fn no_endpoint(&mut self) -> AttemptFailure {
        let cluster = &self.upstream.live.cluster;
        self.exchange.upstream = Some(cluster.name.as_str().into());
        if let Some(unresolved) = cluster.unresolved() {
            self.exchange.note(unresolved);
        }
        AttemptFailure::sent(Reason::NoEndpoint)
    }
}

impl Requests<'_, '_> {
    /// A call past its deadline ends with that reason, whatever its last attempt's reason was.
    fn name(&self, cause: Cause) -> Cause {
        let answerable = !matches!(cause.reason, Reason::NoEndpoint) && cause.reason.status() != 0;
        let over = answerable && self.end.is_some_and(|end| end <= Instant::now());
        if over { Reason::Deadline.into() } else { cause }
    }
}

fn within(end: Option<Instant>, at: Instant) -> Instant {
    end.map_or(at, |end| end.min(at))
}

/// Answers with the reason. The connection is kept if the request was read to its end.
async fn fail(exchange: &mut Exchange<'_>, edits: &Edits, cause: Cause) -> Next {
    let request = &exchange.scratch.request;
    let whole = request.framing.is_empty() || exchange.upload.complete.get();
    let keep_alive = whole && request.keep_alive && !exchange.client.is_ending();
    if cause.reason.status() == 0 {
        exchange.blame(cause);
        // A response that did not reach the client does not count.
        exchange.status = 0;
        return Next::Abort;
    }
    let written = respond::problem(exchange, cause, Some(edits), keep_alive).await;
    next(exchange, written && keep_alive)
}

fn pick_key(exchange: &Exchange<'_>, upstream: &LocalUpstream, plan: &Plan<'_>) -> PickKey {
    let hash = upstream.live.hash_key().and_then(|key| {
        let head = exchange.request()?;
        hash_of(key, &head, exchange.source())
    });
    PickKey { hash, sticky: plan.sticky.and_then(|sticky| sticky.endpoint) }
}
