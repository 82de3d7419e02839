//! The commit: from here on the response is final, and no further attempt is made.
//!
//! Before the commit a response may be dropped, and the request's bytes are kept for a retry. After
//! it neither is possible.

use tokio::time::Instant;

use super::answer::{begin_response, response_filters};
use super::attempt::{Attempt, AttemptTarget};
use super::head::HeadReader;
use super::sending::forget;
use super::stream::{BodyStreams, ResponseEnd};
use crate::cause::Cause;
use crate::exchange::Exchange;
use crate::message::{Framing, ResponseHead};
use crate::observe::access_log::Answerer;
use crate::observe::timeline::Stage as Mark;
use crate::policy::grpc::read_status;
use crate::relay::filter::{Filtered, Stack};
use crate::relay::reader::Reading;
use crate::relay::request::Upload;
use crate::relay::response::Download;
use crate::relay::writer::Writing;
use crate::relay::{WaitStage, Watch};
use crate::upstream::outcome::AttemptOutcome;
use crate::websocket::Rules;

/// A response on its way to the client.
pub(super) struct Response<'c> {
    pub(super) writing: Writing<'c>,
    /// The response says that the client's connection is kept.
    pub(super) keep_alive: bool,
    /// A close would look like the end of the body, so the connection is reset on an error.
    pub(super) until_close: bool,
    filters: Stack,
    /// Of what is left of the body.
    framing: Framing,
    /// The upstream has switched to WebSocket, of which this holds.
    upgraded: Option<Rules>,
    /// All of it came at once, and the client has taken it: whether the upstream's connection
    /// stands exactly behind it.
    passed: Option<bool>,
}

impl<'c> Attempt<'c> {
    /// Commits the response, and begins to send it.
    pub(super) fn commit(
        &mut self,
        exchange: &mut Exchange<'c>,
        target: &AttemptTarget<'_>,
    ) -> Result<Response<'c>, Cause> {
        forget(exchange, self.upload.as_mut());
        let answered = self.adopt(exchange);
        let filters = response_filters(exchange, self.heads.bytes());
        let (writing, keep_alive, until_close) =
            begin_response(exchange, target, self.heads.bytes(), answered)?;
        let head = &exchange.scratch.response;
        self.heads.skip(head.length as usize);
        let upgraded = (head.status == 101).then_some(target.plan.forward.websocket);
        let framing = if upgraded.is_some() { Framing::UntilClose } else { head.framing };
        let mut response =
            Response { writing, keep_alive, until_close, filters, framing, upgraded, passed: None };
        if self.upload.is_none() {
            response.leave_at_once(exchange, &mut self.heads);
        }
        Ok(response)
    }

    /// Records the head in the exchange, and in the endpoint's counters.
    fn adopt(&mut self, exchange: &mut Exchange<'_>) -> Instant {
        let answered = Instant::now();
        let status = self.response.status;
        exchange.timeline.mark(Mark::FirstByte, answered.into_std());
        exchange.status = status;
        exchange.answered_by = Some(Answerer::Origin);
        if exchange.handshake.is_some() && status != 101 {
            exchange.note("the origin refused the WebSocket handshake");
        }
        let latency = answered - self.ready();
        self.connected.trial.record(AttemptOutcome::Answered { status, latency }, answered);
        if exchange.call.is_some() {
            // It stands in the head where there is nothing else.
            let head = ResponseHead { bytes: self.heads.bytes(), parts: &self.response };
            exchange.grpc_status = head.fields().first("grpc-status").and_then(read_status);
        }
        std::mem::swap(&mut exchange.scratch.response, &mut self.response);
        answered
    }
}

impl<'c> Response<'c> {
    /// Sends what is here in one call, where that is all of it and goes on as it came.
    fn leave_at_once(&mut self, exchange: &mut Exchange<'_>, heads: &mut HeadReader<'_>) {
        let Writing::Http1(writing) = &mut self.writing else { return };
        if !self.filters.is_empty() {
            return;
        }
        let Some(body) = heads.whole_body(self.framing) else { return };
        let left = writing.leave_at_once(body);
        let rest = body.len() - left.body;
        exchange.download.begun.set(left.any);
        exchange.download.body.set(left.body as u64);
        heads.skip(left.body);
        if left.whole {
            exchange.scratch.response_out = writing.take_out();
            self.passed = Some(heads.bytes().is_empty());
        } else if !self.framing.is_empty() {
            self.framing = Framing::Length(rest as u64);
        }
    }

    /// The client has read all of it.
    pub(super) fn is_passed(&self) -> bool {
        self.passed.is_some()
    }

    /// How it has ended, once it is passed.
    pub(super) fn end(&self) -> ResponseEnd {
        ResponseEnd { keep_alive: self.keep_alive, at_its_end: self.passed == Some(true) }
    }

    /// Both directions, ready to go on.
    pub(super) fn begin(
        self,
        exchange: &mut Exchange<'c>,
        target: &AttemptTarget<'_>,
        watch: Watch<'c>,
        upload: Option<Upload<'c>>,
        heads: HeadReader<'c>,
    ) -> Box<BodyStreams<'c>> {
        let Self { writing, keep_alive, until_close, filters, framing, upgraded, .. } = self;
        let mut reading = heads.into_body(framing, &mut exchange.scratch.response_head);
        if !filters.is_empty() && !framing.is_empty() {
            reading = Reading::Filtered(Box::new(Filtered::new(reading, filters)));
        }
        watch.stage.set(WaitStage::ResponseBody);
        let idle = target.plan.timeouts().idle;
        let pipes = exchange.worker.pipes();
        let download = if exchange.call.is_some() {
            Download::new(reading, writing, pipes, idle, idle).of_call()
        } else {
            let client_patience = *target.listener.settings.timeouts.body;
            Download::new(reading, writing, pipes, idle, client_patience)
        };
        Box::new(BodyStreams { watch, upload, download, keep_alive, until_close, upgraded })
    }
}
