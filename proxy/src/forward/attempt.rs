//! One attempt: an endpoint, a connection to it, and the exchange over that connection.
//!
//! An attempt is a value that owns these, so that two attempts can exist at once. The request's own
//! state (head, body, timer) stays in the exchange.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use super::explain::explain;
use super::head::{HeadReader, Http1Heads, Http2Heads, MAX_INTERIM, Method};
use super::outgoing::{begin_http1, begin_http2};
use super::sending::{drive, take_back};
use super::stream::{Answered, finish};
use super::{AttemptFailure, ForwardOutcome as Forwarded};
use crate::cause::{Cause, Rule};
use crate::decide::Plan;
use crate::error::Fault;
use crate::exchange::Exchange;
use crate::message::{ResponseHead, ResponseParts};
use crate::observe::timeline::Stage as Mark;
use crate::relay::Watch;
use crate::relay::request::Upload;
use crate::snapshot::HttpListener;
use crate::upstream::acquire::Connection;
use crate::upstream::balance::Picked;
use crate::upstream::local::LocalUpstream;
use crate::upstream::outcome::{AttemptOutcome, Trial};

/// Where one attempt goes, and how long it may take.
pub(super) struct AttemptTarget<'a> {
    pub(super) listener: &'a HttpListener,
    pub(super) plan: &'a Plan<'a>,
    pub(super) upstream: &'a Rc<LocalUpstream>,
    pub(super) picked: &'a Picked,
    /// When this attempt began.
    pub(super) started: Instant,
    pub(super) give_up: Instant,
    /// The deadline for a response of any attempt.
    pub(super) answer_by: Instant,
}

/// A connection to an endpoint, and the counters of the attempt.
pub(super) struct Connected {
    pub(super) upstream: Rc<LocalUpstream>,
    pub(super) connection: Connection,
    pub(super) trial: Trial,
    /// When the request could be sent.
    ready: Instant,
}

/// An attempt in flight.
pub(super) struct Attempt<'c> {
    pub(super) connected: Connected,
    /// Its part of the exchange's timer.
    pub(super) watch: Watch<'c>,
    /// The request, until it is sent completely.
    pub(super) upload: Option<Upload<'c>>,
    /// Reads the heads of its response.
    pub(super) heads: HeadReader<'c>,
    /// The last head that was read.
    pub(super) response: ResponseParts,
}

/// Makes one attempt: until its response has begun, or a short one is sent to the client completely.
pub(super) async fn attempt<'c>(
    exchange: &mut Exchange<'c>,
    target: &AttemptTarget<'_>,
) -> Result<Forwarded<'c>, AttemptFailure> {
    let connected = connect(exchange, target).await?;
    let mut attempt = Attempt::begin(exchange, target, connected)?;
    if let Err(cause) = attempt.hear(exchange, target).await {
        return Err(attempt.fail(exchange, cause));
    }
    // Until here a response may be dropped for another attempt, and the request sent again.
    match attempt.commit(exchange, target) {
        Err(cause) => Err(attempt.fail(exchange, cause)),
        Ok(response) if response.is_passed() => {
            let Connected { upstream, connection, .. } = attempt.connected;
            let next = finish(exchange, &upstream, connection, &response.end());
            Ok(Forwarded::Ended(next))
        }
        Ok(response) => {
            let Attempt { connected, watch, upload, heads, .. } = attempt;
            let begun = response.begin(exchange, target, watch, upload, heads);
            Ok(Forwarded::Answered(Answered { connected, begun }))
        }
    }
}

/// A connection to the endpoint, or a stream of one.
async fn connect(
    exchange: &mut Exchange<'_>,
    target: &AttemptTarget<'_>,
) -> Result<Connected, AttemptFailure> {
    let AttemptTarget { upstream, picked, .. } = target;
    let trial = Trial::begin(upstream, picked);
    exchange.endpoint = Some(Rc::clone(trial.endpoint()));
    exchange.timeline.unmark(Mark::Connect);
    let waited = Cell::new(None);
    let client = exchange.client;
    let ends = || client.ends();
    let acquired = if exchange.handshake.is_some() {
        // A tunnel has its own HTTP/1 connection, whatever protocol the upstream speaks otherwise.
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
    let error = match trial.connected(acquired) {
        Ok(connection) => {
            if !connection.is_reused() {
                ready = exchange.mark(Mark::Connect);
            }
            return Ok(Connected { upstream: Rc::clone(upstream), connection, trial, ready });
        }
        Err(error) => error,
    };
    exchange.note(error.words());
    tracing::debug!(endpoint = trial.endpoint().metrics.address(), %error, "no connection");
    if error.may_try_another() {
        return Err(AttemptFailure::not_sent(error.reason()));
    }
    // The attempt never left the queue, so no endpoint was tried.
    exchange.attempts -= 1;
    exchange.endpoint = None;
    exchange.upstream = Some(upstream.live.cluster.name.as_str().into());
    Err(AttemptFailure::sent(error.reason()))
}

impl Connected {
    /// Ends it without an answer.
    fn fail(self, outcome: AttemptOutcome) {
        self.upstream.discard(self.connection);
        self.trial.record(outcome, Instant::now());
    }
}

impl<'c> Attempt<'c> {
    /// Begins to send the request.
    fn begin(
        exchange: &mut Exchange<'c>,
        target: &AttemptTarget<'_>,
        mut connected: Connected,
    ) -> Result<Self, AttemptFailure> {
        exchange.upload = Default::default();
        exchange.upstream_reset = None;
        let end = exchange.call.and_then(|call| call.deadline);
        let watch = Watch::new(exchange.deadline, end);
        watch.deadline.set(target.give_up);
        let method = Method::of(exchange.request().map_or(&b""[..], |head| head.method()));
        let sent = match &mut connected.connection {
            Connection::Http1(_) if exchange.call.is_some_and(|call| call.web.is_some()) => {
                tracing::debug!("an upstream of gRPC does not speak HTTP/2");
                Err(AttemptFailure::sent(Rule::WebNeedsHttp2.in_response()))
            }
            Connection::Http1(connection) => {
                let upload = begin_http1(exchange, target, &connection.io);
                let buffers = exchange.worker.buffers();
                let heads = Http1Heads::new(Rc::clone(&connection.io), buffers, method);
                Ok((upload, HeadReader::Http1(heads)))
            }
            Connection::Http2(lease) => begin_http2(exchange, target, lease).map(|sent| {
                let (upload, response) = sent;
                let bytes = std::mem::take(&mut exchange.scratch.response_head);
                let heads = Http2Heads::new(response, method, bytes);
                (Some(upload), HeadReader::Http2(Box::new(heads)))
            }),
        };
        match sent {
            Ok((upload, heads)) => {
                let response = std::mem::take(&mut exchange.scratch.response);
                Ok(Self { connected, watch, upload, heads, response })
            }
            Err(failure) => {
                connected.fail(AttemptOutcome::of(failure.cause.reason));
                Err(failure)
            }
        }
    }

    /// Sends the request until the head of the final response is there.
    async fn hear(
        &mut self,
        exchange: &mut Exchange<'c>,
        target: &AttemptTarget<'_>,
    ) -> Result<(), Cause> {
        let mut interim = 0;
        loop {
            let Self { upload, watch, heads, response, .. } = self;
            drive(exchange, upload, watch, heads.next(response)).await?;
            // A panic on purpose: tests over real sockets look at what it leaves behind.
            #[cfg(test)]
            assert_ne!(response.status, 599, "a test asks for a panic");
            match response.status {
                101 => return self.judge_switch(exchange),
                100..=199 => interim += 1,
                _ => return Ok(()),
            }
            if interim > MAX_INTERIM {
                return Err(Rule::TooManyInterim.in_response());
            }
            self.pass_on(exchange, target).await?;
            self.heads.skip(self.response.length as usize);
        }
    }

    /// Whether the upstream may switch protocols: it was asked to, and its answer is valid.
    fn judge_switch(&self, exchange: &Exchange<'_>) -> Result<(), Cause> {
        let head = ResponseHead { bytes: self.heads.bytes(), parts: &self.response };
        match exchange.handshake.filter(|_| self.upload.is_none()) {
            Some(handshake) if handshake.is_answered_by(&head) => Ok(()),
            Some(_) => Err(Rule::WebSocketAccept.in_response()),
            None => Err(Rule::SwitchedUnasked.in_response()),
        }
    }

    /// When its request could be sent.
    pub(super) fn ready(&self) -> Instant {
        self.connected.ready
    }

    /// Ends the attempt without a response; the request's state goes back to the exchange.
    fn fail(self, exchange: &mut Exchange<'_>, cause: Cause) -> AttemptFailure {
        let Self { connected, upload, mut heads, response, .. } = self;
        exchange.scratch.response = response;
        exchange.upstream_reset = heads.reset_code();
        let cause = explain(exchange, cause, heads.take_fault(), &connected.connection);
        if let Some(upload) = upload {
            take_back(exchange, upload);
        }
        let refused = heads.was_refused();
        let outcome =
            if refused { AttemptOutcome::Refused } else { AttemptOutcome::of(cause.reason) };
        connected.fail(outcome);
        let unsent = !exchange.upload.begun.get() || refused;
        AttemptFailure { cause, not_sent: unsent && cause.reason.fault() == Fault::Upstream }
    }
}
