//! One attempt: a connection, an exchange over it, and what becomes of the connection.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use super::Failure;
use super::converse::converse;
use crate::decide::Plan;
use crate::exchange::Exchange;
use crate::observe::timeline::Stage as Mark;
use crate::snapshot::HttpListener;
use crate::upstream::balance::{Outcome, Picked};
use crate::upstream::local::LocalUpstream;

/// Where one attempt goes, and how long it may take.
pub(super) struct Target<'a> {
    pub(super) listener: &'a HttpListener,
    pub(super) plan: &'a Plan<'a>,
    pub(super) upstream: &'a LocalUpstream,
    pub(super) picked: &'a Picked,
    pub(super) limit: u64,
    /// When this attempt began.
    pub(super) started: Instant,
    pub(super) give_up: Instant,
}

/// Makes one attempt. True when the client's connection may carry another request.
pub(super) async fn attempt(
    exchange: &mut Exchange<'_>,
    target: &Target<'_>,
) -> Result<bool, Failure> {
    let Target { upstream, picked, .. } = target;
    let endpoint = upstream.endpoint(picked);
    let worker = exchange.worker;
    let shard = endpoint.metrics.of(worker.id());
    shard.requests.increment();
    exchange.endpoint = Some(Rc::clone(&endpoint));
    exchange.timeline.unmark(Mark::Connect);
    let in_flight = picked.start();
    let _counted = shard.in_flight.hold();

    let waited = Cell::new(None);
    let client = exchange.client;
    let acquired = upstream
        .acquire(picked, target.give_up, target.started, &|| client.ends(), |at| {
            waited.set(Some(at));
        })
        .await;
    let mut ready = target.started;
    if let Some(at) = waited.get() {
        ready = at;
        exchange.timeline.mark(Mark::Wait, at.into_std());
    }
    let connection = match acquired {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(endpoint = endpoint.metrics.address(), %error, "no connection");
            if error.may_try_another() {
                shard.failures.increment();
                in_flight.observe(Outcome { latency: None, failed: true }, Instant::now());
                return Err(Failure::not_sent(error.reason()));
            }
            return Err(Failure::sent(error.reason()));
        }
    };
    let _active = upstream.live.metrics.of(worker.id()).active.hold();
    if !connection.reused {
        ready = exchange.mark(Mark::Connect);
    }
    let result = converse(exchange, target, &connection, &in_flight, ready).await;
    let now = Instant::now();
    match result {
        Ok(done) => {
            if done.reusable {
                upstream.release(connection, exchange.scratch.response.keep_alive_timeout, now);
            } else {
                upstream.discard(connection);
            }
            exchange.finished = Some(now);
            Ok(done.keep_alive)
        }
        Err(failure) => {
            upstream.discard(connection);
            if failure.reason.fault() == crate::error::Fault::Upstream {
                shard.failures.increment();
                in_flight.observe(Outcome { latency: None, failed: true }, now);
            }
            Err(failure)
        }
    }
}
