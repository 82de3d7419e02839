//! Sends a request while its response is awaited, and decides what ends the wait.

use std::pin::pin;
use std::task::{Context, Poll};

use crate::buffer::HeadBuffer;
use crate::cause::Cause;
use crate::error::Reason;
use crate::exchange::{ClientEnd, Exchange};
use crate::fault;
use crate::io::PeerState;
use crate::memory::Level;
use crate::relay::reader::Reading;
use crate::relay::request::{Upload, UploadError};
use crate::relay::writer::Writing;
use crate::relay::{WaitStage, Watch};

/// The request's side of an exchange, polled before the response's side.
pub(super) struct Sending<'a, 'e, 'c> {
    /// `None` once the whole request is sent.
    pub(super) upload: &'a mut Option<Upload<'c>>,
    pub(super) watch: &'a Watch<'c>,
    pub(super) exchange: &'a mut Exchange<'e>,
}

impl Sending<'_, '_, '_> {
    /// Sends more of the request. Ready when the exchange cannot continue.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        if self.upload.is_some() && is_tight(self.exchange) {
            forget(self.exchange, self.upload.as_mut());
        }
        let Exchange { head, upload: counters, .. } = &mut *self.exchange;
        if let Some(upload) = self.upload
            && let Poll::Ready(result) = upload.poll(cx, head, self.watch, counters)
        {
            // Of HTTP/2 an upstream may still say that it has refused all of it.
            let for_good = matches!(upload.pump.writing, Writing::Http1(_));
            if let Some(done) = self.upload.take() {
                take_back(self.exchange, done);
            }
            let counters = &self.exchange.upload;
            match result {
                Ok(()) if for_good => self.exchange.let_buffer_go(),
                Ok(()) => {}
                Err(UploadError::Client(cause)) => return Poll::Ready(cause),
                // An upstream that answers early may close before it has read everything.
                Err(UploadError::Upstream(_)) if counters.begun.get() => {}
                Err(UploadError::Upstream(error)) => {
                    self.exchange.note(fault::of_io(&error));
                    return Poll::Ready(Reason::UpstreamReset.into());
                }
            }
        }
        Poll::Pending
    }

    /// What ends the waiting, to be asked while there is nothing else to do: the client's leave,
    /// or the deadline. `response` is what is on its way to the client, once something is.
    pub(super) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        response: Option<&mut Writing<'_>>,
    ) -> Poll<Cause> {
        match self.poll_client(cx, response) {
            Poll::Pending => self.watch.deadline.poll_expired(cx).map(|()| self.watch.timeout()),
            gone => gone,
        }
    }

    /// A client that is gone needs no answer; one that only finished sending does.
    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        response: Option<&mut Writing<'_>>,
    ) -> Poll<Cause> {
        let mut closed = false;
        let reset = match (&mut *self.exchange.end.borrow_mut(), response) {
            (ClientEnd::Http2 { .. }, Some(Writing::Http2(writing))) => writing.poll_reset(cx),
            (ClientEnd::Http2 { respond: Some(respond), .. }, _) => {
                respond.poll_reset(cx).map(|_| ())
            }
            (ClientEnd::Http2 { .. }, _) => Poll::Pending,
            (ClientEnd::Http1, _) => {
                let waits = matches!(
                    self.watch.stage.get(),
                    WaitStage::ResponseHead | WaitStage::ResponseBody
                );
                let client = self.exchange.client;
                if self.upload.is_none()
                    && waits
                    && !self.exchange.client_spoke
                    && client.io.poll_readable(cx).is_ready()
                {
                    self.exchange.client_spoke = true;
                    match client.io.peer_state() {
                        PeerState::Reset => return Poll::Ready(Reason::ClientAborted.into()),
                        // It may have closed its own side alone, and waits for the response.
                        PeerState::Closed => {
                            closed = self.watch.stage.get() == WaitStage::ResponseHead;
                        }
                        PeerState::Silent | PeerState::Sending => {}
                    }
                }
                Poll::Pending
            }
        };
        self.exchange.client_closed |= closed;
        reset.map(|()| Reason::ClientAborted.into())
    }
}

/// The upload's buffers go back to the exchange, for a retry or an answer of the proxy.
pub(super) fn take_back(exchange: &mut Exchange<'_>, mut upload: Upload<'_>) {
    exchange.scratch.out = upload.pump.writing.take_out();
    let reading = match upload.pump.reading {
        Reading::Filtered(filtered) => filtered.into_inner(),
        direct => direct,
    };
    if let (ClientEnd::Http2 { body, .. }, Reading::Http2(reading)) =
        (exchange.end.get_mut(), reading)
    {
        *body = Some(reading);
    }
}

/// From here on the bytes read of the request's body are kept for a retry: until the commit, until
/// there are more than the limit, or until memory is short.
pub(super) fn keep(exchange: &mut Exchange<'_>, most: usize) {
    if exchange.scratch.request.framing.is_empty() || is_tight(exchange) {
        return;
    }
    if let Some(buffer) = &mut exchange.head {
        buffer.keep(most);
    }
    if let ClientEnd::Http2 { body: Some(body), .. } = exchange.end.get_mut() {
        body.keep(most);
    }
}

/// Memory is short: drops what is kept for a retry.
fn is_tight(exchange: &Exchange<'_>) -> bool {
    exchange.worker.memory().level() > Level::Enough
}

/// Rewinds to the beginning of the body for a retry. False if not all of it was kept.
pub(super) fn rewind(exchange: &mut Exchange<'_>) -> bool {
    match exchange.end.get_mut() {
        ClientEnd::Http1 => exchange.head.as_mut().is_some_and(HeadBuffer::rewind),
        ClientEnd::Http2 { body, .. } => body.as_mut().is_some_and(|body| body.rewind()),
    }
}

/// No further attempt will be made: the kept bytes are dropped.
pub(super) fn forget(exchange: &mut Exchange<'_>, upload: Option<&mut Upload<'_>>) {
    if let Some(buffer) = &mut exchange.head {
        buffer.forget();
    }
    if let ClientEnd::Http2 { body: Some(body), .. } = exchange.end.get_mut() {
        body.forget();
    }
    if let Some(upload) = upload {
        upload.pump.reading.forget();
    }
}

/// Runs `receive` to its end while the request goes on being sent.
pub(super) async fn drive<'c, T>(
    exchange: &mut Exchange<'c>,
    upload: &mut Option<Upload<'c>>,
    watch: &Watch<'c>,
    receive: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    let mut receive = pin!(receive);
    std::future::poll_fn(|cx| {
        let mut sending = Sending { upload: &mut *upload, watch, exchange: &mut *exchange };
        if let Poll::Ready(cause) = sending.poll(cx) {
            return Poll::Ready(Err(cause));
        }
        if sending.exchange.upload.begun.get()
            && let Poll::Ready(received) = receive.as_mut().poll(cx)
        {
            return Poll::Ready(received);
        }
        sending.poll_end(cx, None).map(Err)
    })
    .await
}
