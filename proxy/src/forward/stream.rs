//! Sends the response to the client, after the generation is released.
//!
//! [`Answered`] has all that is needed from here on. A stream that lasts for hours keeps its upstream
//! alive, not the generation that selected it.

use std::task::Poll;

use tokio::time::Instant;

use super::attempt::Connected;
use super::sending::{Sending, take_back};
use super::upgrade;
use crate::cause::Cause;
use crate::exchange::{Exchange, Next, next};
use crate::policy::grpc;
use crate::relay::Watch;
use crate::relay::request::Upload;
use crate::relay::response::Download;
use crate::relay::writer::Writing;
use crate::respond;
use crate::upstream::acquire::Connection;
use crate::upstream::local::LocalUpstream;
use crate::upstream::outcome::AttemptOutcome;
use crate::websocket::Rules;

/// An upstream's response whose head is read and not yet forwarded.
pub struct Answered<'c> {
    pub(super) connected: Connected,
    /// Boxed: it is large, and handed from phase to phase.
    pub(super) begun: Box<BodyStreams<'c>>,
}

/// Both directions of the exchange, ready to continue.
pub(super) struct BodyStreams<'c> {
    pub(super) watch: Watch<'c>,
    /// The request, if it is not sent completely.
    pub(super) upload: Option<Upload<'c>>,
    pub(super) download: Download<'c>,
    /// The response says that the client's connection is kept.
    pub(super) keep_alive: bool,
    /// A close would look like the end of the body.
    pub(super) until_close: bool,
    /// The upstream has switched to WebSocket, of which this holds.
    pub(super) upgraded: Option<Rules>,
}

/// How a response has ended.
pub(super) struct ResponseEnd {
    /// The response says that the client's connection is kept.
    pub(super) keep_alive: bool,
    /// The upstream's connection stands exactly behind it.
    pub(super) at_its_end: bool,
}

/// Forwards the response to its end, and the rest of the request at the same time.
pub async fn stream<'c>(exchange: &mut Exchange<'c>, answered: Answered<'c>) -> Next {
    if let Some(rules) = answered.begun.upgraded {
        return Box::pin(upgrade::tunnel(exchange, answered, rules)).await;
    }
    let Answered { connected, mut begun } = answered;
    let Connected { upstream, connection, trial, .. } = connected;
    let BodyStreams { watch, upload, download, keep_alive, until_close, upgraded: _ } = &mut *begun;
    let (watch, keep_alive, until_close) = (&*watch, *keep_alive, *until_close);
    let mut settled = false;
    let result = std::future::poll_fn(|cx| {
        let mut sending = Sending { upload, watch, exchange: &mut *exchange };
        let outcome = match sending.poll(cx) {
            Poll::Ready(reason) => Poll::Ready(Err(reason)),
            Poll::Pending => match download.poll(cx, watch, &sending.exchange.download) {
                Poll::Pending => sending.poll_end(cx, Some(&mut download.pump.writing)).map(Err),
                ready => ready,
            },
        };
        if outcome.is_pending() && !settled && exchange.download.begun.get() {
            settled = true;
            exchange.settle();
        }
        outcome
    })
    .await;
    let cause = match result {
        Ok(()) => {
            if exchange.call.is_some() {
                let status = download.pump.reading.trailer("grpc-status", grpc::read_status);
                exchange.grpc_status = status.or(exchange.grpc_status);
            }
            exchange.scratch.response_out = download.pump.writing.take_out();
            if let Some(upload) = upload.take() {
                take_back(exchange, upload);
            }
            let at_its_end = download.pump.reading.is_at_its_end();
            return finish(
                exchange,
                &upstream,
                connection,
                &ResponseEnd { keep_alive, at_its_end },
            );
        }
        Err(cause) => cause,
    };
    let reason = cause.reason;
    exchange.upstream_reset = download.pump.reading.reset_code();
    upstream.discard(connection);
    trial.record(AttemptOutcome::of(reason), Instant::now());
    if !exchange.download.begun.get()
        && let Some(next) = answer_instead(exchange, cause, &mut download.pump.writing).await
    {
        return next;
    }
    if let Writing::Http2(writing) = &mut download.pump.writing {
        let call = exchange.call.filter(|call| call.web.is_none());
        if call.is_some() && writing.break_off(grpc::trailers(reason, exchange.upstream_reset)) {
            exchange.blame(cause);
            let status = grpc::Status::of(reason, exchange.upstream_reset);
            exchange.grpc_status = Some(status as u32);
            if let Some(upload) = upload.take() {
                take_back(exchange, upload);
            }
            return Next::Close;
        }
        // A reset drops what waits to be sent. Yielding first lets the connection send it, so that the
        // client gets the bytes that the log counts.
        tokio::task::yield_now().await;
        writing.reset(h2::Reason::INTERNAL_ERROR);
    }
    if until_close {
        exchange.client.io.reset_on_close();
    }
    exchange.blame(cause);
    Next::Abort
}

/// After the complete response: decides what happens to both connections.
pub(super) fn finish(
    exchange: &mut Exchange<'_>,
    upstream: &LocalUpstream,
    connection: Connection,
    end: &ResponseEnd,
) -> Next {
    let now = Instant::now();
    let complete = exchange.upload.complete.get();
    let response = &exchange.scratch.response;
    if response.keep_alive && complete && end.at_its_end {
        upstream.release(connection, response.keep_alive_timeout, now);
    } else {
        upstream.discard(connection);
    }
    exchange.finished = Some(now);
    next(exchange, end.keep_alive && complete)
}

/// The client has seen nothing of the response, so an error can be sent instead.
async fn answer_instead(
    exchange: &mut Exchange<'_>,
    cause: Cause,
    writing: &mut Writing<'_>,
) -> Option<Next> {
    let current = exchange.current()?;
    let route = exchange.route.and_then(|id| current.snapshot.routes.get(id.0))?;
    respond::take_back(exchange, writing);
    Some(super::fail(exchange, &route.response_edits, cause).await)
}
