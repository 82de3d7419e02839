//! Forwarding: attempts at an upstream, until one has an answer or none may be made any more;
//! then the answer's way to the client.
//!
//! A request is sent again only when surely nobody did anything with it (`not-sent`): the connect
//! failed, a kept connection died before it took the first byte, or the upstream said that it
//! refused the stream. What was sent of the body must still be here.

use tokio::time::Instant;

use self::attempt::{Target, attempt};
pub use self::stream::{Answered, stream};
use crate::cause::{Cause, Rule};
use crate::decide::Plan;
use crate::error::Reason;
use crate::exchange::{Exchange, Next, next};
use crate::http1::edits::Edits;
use crate::respond;
use crate::snapshot::HttpListener;
use crate::upstream::balance::{PickKey, hash_of};
use crate::upstream::local::LocalUpstream;
use crate::worker::Current;

mod answer;
mod attempt;
mod converse;
mod head;
mod outgoing;
mod sending;
mod stream;
mod upgrade;

/// Endpoints that a request remembers as tried.
const MAX_TRIED: usize = 8;

/// How far a request came while its generation was needed.
pub enum Outcome<'c> {
    Ended(Next),
    Answered(Answered<'c>),
}

/// Why an attempt came to nothing.
struct Failure {
    cause: Cause,
    /// Nothing of the request was sent: another attempt cannot run it twice.
    not_sent: bool,
}

impl Failure {
    fn sent(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), not_sent: false }
    }

    fn not_sent(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), not_sent: true }
    }
}

/// Sends the request to the planned upstream until its response has begun. Times count from
/// `routed`: the clock is read where something was waited for, not at every step.
pub async fn forward<'c>(
    exchange: &mut Exchange<'c>,
    current: &Current,
    listener: &HttpListener,
    plan: &Plan<'_>,
    routed: Instant,
) -> Outcome<'c> {
    let edits = &plan.route.response_edits;
    let call = plan.call;
    let Some(upstream) = current.upstreams.get(plan.upstream.0) else {
        return Outcome::Ended(fail(exchange, edits, Reason::Internal.into()).await);
    };
    let key = pick_key(exchange, upstream, plan);
    let end = call.and_then(|call| call.deadline);
    let within = |at: Instant| end.map_or(at, |end| end.min(at));
    let mut give_up = within(routed + plan.timeouts.response);
    let mut now = routed;
    let mut tried: smallvec::SmallVec<[u64; MAX_TRIED]> = smallvec::SmallVec::new();
    loop {
        let Some(picked) = upstream.balancer.pick(&key, &tried, now) else {
            let cluster = &upstream.live.cluster;
            exchange.upstream = Some(cluster.name.as_str().into());
            if let Some(trouble) = cluster.trouble() {
                exchange.note(trouble);
            }
            return Outcome::Ended(fail(exchange, edits, Reason::NoEndpoint.into()).await);
        };
        exchange.attempts += 1;
        exchange.forget_note();
        let target = Target {
            listener,
            plan,
            upstream,
            picked: &picked,
            started: now,
            give_up: give_up.min(now + plan.timeouts.per_try),
            answer_by: give_up,
        };
        let failure = match attempt(exchange, &target).await {
            Ok(outcome) => return outcome,
            Err(failure) => failure,
        };
        now = Instant::now();
        give_up = within(give_up + exchange.upload.took.get());
        let again =
            failure.not_sent && exchange.attempts <= u32::from(plan.retries) && now < give_up;
        if !again {
            let Cause { reason, .. } = failure.cause;
            let over = call.is_some_and(|call| call.is_over(now)) && reason.status() != 0;
            let cause = match reason {
                _ if over => Reason::Deadline.into(),
                Reason::UpstreamTimeout if failure.cause.rule.is_some() => failure.cause,
                Reason::UpstreamTimeout if target.give_up < target.answer_by => {
                    Rule::PerTryTimeout.in_response()
                }
                Reason::UpstreamTimeout => Rule::ResponseTimeout.in_response(),
                _ => failure.cause,
            };
            return Outcome::Ended(fail(exchange, edits, cause).await);
        }
        upstream.live.metrics.of(exchange.worker.id()).resends.increment();
        if tried.len() < MAX_TRIED {
            tried.push(picked.id);
        }
    }
}

/// Answers with the reason. The connection goes on if the request was read to its end.
async fn fail(exchange: &mut Exchange<'_>, edits: &Edits, cause: Cause) -> Next {
    let request = &exchange.scratch.request;
    let whole = request.framing.is_empty() || exchange.upload.complete.get();
    let keep_alive = whole && request.keep_alive && !exchange.client.is_ending();
    if cause.reason.status() == 0 {
        exchange.blame(cause);
        // An answer that came and did not leave is none.
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
