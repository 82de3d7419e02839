//! A request on its way while its response is waited for, and what ends the waiting.

use std::task::Poll;

use crate::error::Reason;
use crate::io::{Io, PeerState};
use crate::relay::request::{UploadCounters, UploadError};
use crate::relay::{Stage, Watch};

/// The request on its way, polled beside whatever waits for the response.
pub(super) struct Sending<'a, F> {
    upload: std::pin::Pin<&'a mut F>,
    finished: bool,
    client: &'a Io,
    /// Nothing was heard of the client since it sent its request.
    client_silent: bool,
    watch: &'a Watch<'a>,
    counters: &'a UploadCounters,
}

impl<'a, F: Future<Output = Result<(), UploadError>>> Sending<'a, F> {
    pub(super) fn new(
        upload: std::pin::Pin<&'a mut F>,
        client: &'a Io,
        watch: &'a Watch<'a>,
        counters: &'a UploadCounters,
    ) -> Self {
        Self { upload, finished: false, client, client_silent: true, watch, counters }
    }

    /// Runs `receive` to its end while the request goes on being sent.
    pub(super) async fn drive<T>(
        &mut self,
        receive: impl Future<Output = Result<T, Reason>>,
    ) -> Result<T, Reason> {
        let mut receive = std::pin::pin!(receive);
        std::future::poll_fn(|cx| {
            if !self.finished
                && let Poll::Ready(result) = self.upload.as_mut().poll(cx)
            {
                self.finished = true;
                match result {
                    Ok(()) => {}
                    Err(UploadError::Client(reason)) => return Poll::Ready(Err(reason)),
                    // An upstream that answers early may close before it has read everything.
                    Err(UploadError::Upstream(_)) if self.counters.begun.get() => {}
                    Err(UploadError::Upstream(_)) => {
                        return Poll::Ready(Err(Reason::UpstreamReset));
                    }
                }
            }
            if self.counters.begun.get()
                && let Poll::Ready(received) = receive.as_mut().poll(cx)
            {
                return Poll::Ready(received);
            }
            // A client that is gone needs no answer; one that only finished sending does.
            if self.finished
                && self.client_silent
                && matches!(self.watch.stage.get(), Stage::ResponseHead | Stage::ResponseBody)
                && self.client.poll_readable(cx).is_ready()
            {
                self.client_silent = false;
                if self.client.peer_state() == PeerState::Reset {
                    return Poll::Ready(Err(Reason::ClientAborted));
                }
            }
            let watch = self.watch;
            watch.deadline.poll_expired(cx).map(|()| Err(watch.stage.get().timeout()))
        })
        .await
    }
}
