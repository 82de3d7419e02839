//! One attempt: a connection, and the conversation over it until the response has begun.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use super::converse::{Reply, converse};
use super::stream::{Answered, Counted, finish};
use super::{Failure, Outcome};
use crate::decide::Plan;
use crate::error::Fault;
use crate::exchange::Exchange;
use crate::observe::timeline::Stage as Mark;
use crate::snapshot::HttpListener;
use crate::upstream::acquire::Connection;
use crate::upstream::balance::{self, Picked};
use crate::upstream::local::LocalUpstream;

/// Where one attempt goes, and how long it may take.
pub(super) struct Target<'a> {
    pub(super) listener: &'a HttpListener,
    pub(super) plan: &'a Plan<'a>,
    pub(super) upstream: &'a Rc<LocalUpstream>,
    pub(super) picked: &'a Picked,
    /// When this attempt began.
    pub(super) started: Instant,
    pub(super) give_up: Instant,
    /// When an answer of any attempt is to be there.
    pub(super) answer_by: Instant,
}

/// Makes one attempt: until there is an answer, or a short one has gone to the client whole.
pub(super) async fn attempt<'c>(
    exchange: &mut Exchange<'c>,
    target: &Target<'_>,
) -> Result<Outcome<'c>, Failure> {
    let Target { upstream, picked, .. } = target;
    let endpoint = upstream.endpoint(picked);
    let worker = exchange.worker;
    let shard = endpoint.metrics.of(worker.id());
    exchange.endpoint = Some(Rc::clone(&endpoint));
    exchange.timeline.unmark(Mark::Connect);
    let in_flight = picked.start();
    let counted = Counted::begin(&endpoint, worker);

    let waited = Cell::new(None);
    let client = exchange.client;
    let ends = || client.ends();
    let acquired = if exchange.handshake.is_some() {
        // Whatever the upstream speaks otherwise: a tunnel has a connection of HTTP/1 for itself.
        upstream.acquire_fresh(picked, target.give_up, &ends).await.map(Connection::Http1)
    } else {
        let permitted = |at| waited.set(Some(at));
        upstream.acquire(picked, target.give_up, target.started, &ends, permitted).await
    };
    let mut ready = target.started;
    if let Some(at) = waited.get() {
        ready = at;
        exchange.timeline.mark(Mark::Wait, at.into_std());
    }
    let mut connection = match acquired {
        Ok(connection) => {
            shard.requests.increment();
            connection
        }
        Err(error) => {
            exchange.note(error.words());
            tracing::debug!(endpoint = endpoint.metrics.address(), %error, "no connection");
            if error.may_try_another() {
                shard.requests.increment();
                shard.failures.increment();
                in_flight.observe(balance::Outcome { latency: None, failed: true }, Instant::now());
                return Err(Failure::not_sent(error.reason()));
            }
            // It never left the queue: no endpoint was tried.
            exchange.attempts -= 1;
            exchange.endpoint = None;
            exchange.upstream = Some(upstream.live.cluster.name.as_str().into());
            return Err(Failure::sent(error.reason()));
        }
    };
    if !connection.is_reused() {
        ready = exchange.mark(Mark::Connect);
    }
    match converse(exchange, target, &mut connection, &in_flight, ready).await {
        Ok(Reply::Passed { keep_alive, at_its_end }) => {
            let next = finish(exchange, upstream, connection, at_its_end, keep_alive);
            Ok(Outcome::Ended(next))
        }
        Ok(Reply::Begun(begun)) => Ok(Outcome::Answered(Answered {
            upstream: Rc::clone(upstream),
            connection,
            in_flight,
            _counted: counted,
            begun,
        })),
        Err(failure) => {
            upstream.discard(connection);
            if failure.cause.reason.fault() == Fault::Upstream {
                shard.failures.increment();
                in_flight.observe(balance::Outcome { latency: None, failed: true }, Instant::now());
            }
            Err(failure)
        }
    }
}
