//! The sending end of a message of HTTP/2: DATA frames under the peer's flow control.
//!
//! A head that waits here leaves together with the first bytes of its body.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderMap, Response};

use super::reader::{Data, Trailers};
use crate::http2::fields::trailer_map;

/// Bytes handed to an HTTP/2 connection at a time: a stalled stream holds this much.
const MOST_AT_ONCE: usize = 16 * 1024;

/// One HTTP/2 message on its way.
pub struct Http2Writing {
    state: HeadState,
    pending: Bytes,
    end: End,
}

enum HeadState {
    /// It leaves with the first bytes of its body, or as the whole message.
    Waiting(SendResponse<Bytes>, Box<Response<()>>),
    Sent(SendStream<Bytes>),
    Gone,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    /// Sent with the next frame.
    Due(Option<HeaderMap>),
    Sent,
}

impl Http2Writing {
    /// A response whose head has not left.
    pub fn response(respond: SendResponse<Bytes>, head: Response<()>) -> Self {
        Self {
            state: HeadState::Waiting(respond, Box::new(head)),
            pending: Bytes::new(),
            end: End::Open,
        }
    }

    /// A response that is there from head to end.
    pub fn whole(respond: SendResponse<Bytes>, head: Response<()>, body: Bytes) -> Self {
        Self { pending: body, end: End::Due(None), ..Self::response(respond, head) }
    }

    /// A request whose head has left; `whole` when that was all of it.
    pub fn request(stream: SendStream<Bytes>, whole: bool) -> Self {
        let end = if whole { End::Sent } else { End::Open };
        Self { state: HeadState::Sent(stream), pending: Bytes::new(), end }
    }

    /// Gives the stream back of a response whose head has not left.
    pub fn take_respond(&mut self) -> Option<SendResponse<Bytes>> {
        match std::mem::replace(&mut self.state, HeadState::Gone) {
            HeadState::Waiting(respond, _) => Some(respond),
            HeadState::Sent(_) | HeadState::Gone => None,
        }
    }

    /// Ends a message early by trailers that say why. False where it is too late, or too early:
    /// its head has not left, or its end has.
    pub fn break_off(&mut self, trailers: HeaderMap) -> bool {
        let HeadState::Sent(stream) = &mut self.state else { return false };
        if matches!(self.end, End::Sent) || stream.send_trailers(trailers).is_err() {
            return false;
        }
        self.pending = Bytes::new();
        self.end = End::Sent;
        true
    }

    /// Breaks the message off.
    pub fn reset(&mut self, reason: h2::Reason) {
        match &mut self.state {
            HeadState::Waiting(respond, _) => respond.send_reset(reason),
            HeadState::Sent(stream) => stream.send_reset(reason),
            HeadState::Gone => {}
        }
    }

    /// Ready once the peer does not want the rest.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            HeadState::Waiting(respond, _) => respond.poll_reset(cx).map(|_| ()),
            HeadState::Sent(stream) => stream.poll_reset(cx).map(|_| ()),
            HeadState::Gone => Poll::Pending,
        }
    }

    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        if matches!(self.state, HeadState::Waiting(..)) {
            let whole = self.pending.is_empty() && matches!(self.end, End::Due(None));
            let HeadState::Waiting(mut respond, head) =
                std::mem::replace(&mut self.state, HeadState::Gone)
            else {
                return Poll::Ready(Ok(()));
            };
            let stream = respond.send_response(*head, whole).map_err(io::Error::other)?;
            self.state = HeadState::Sent(stream);
            progress(0);
            if whole {
                self.end = End::Sent;
            }
        }
        let HeadState::Sent(stream) = &mut self.state else { return Poll::Ready(Ok(())) };
        while !self.pending.is_empty() {
            stream.reserve_capacity(self.pending.len().min(MOST_AT_ONCE));
            let mut room = stream.capacity();
            if room == 0 {
                room = match ready!(stream.poll_capacity(cx)) {
                    Some(room) => room.map_err(io::Error::other)?,
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
            }
            let count = room.min(self.pending.len());
            if count == 0 {
                continue;
            }
            let part = self.pending.split_to(count);
            let last = self.pending.is_empty() && matches!(self.end, End::Due(None));
            stream.send_data(part, last).map_err(io::Error::other)?;
            progress(count);
            if last {
                self.end = End::Sent;
            }
        }
        match std::mem::replace(&mut self.end, End::Sent) {
            End::Open => self.end = End::Open,
            End::Sent => {}
            End::Due(None) => {
                stream.send_data(Bytes::new(), true).map_err(io::Error::other)?;
            }
            End::Due(Some(trailers)) => {
                stream.send_trailers(trailers).map_err(io::Error::other)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes as much of `data` as it can; that leaves with the next flush.
    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        data: Data<'_>,
        progress: &mut impl FnMut(usize),
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx, progress))?;
        self.pending = data.first(MOST_AT_ONCE);
        Poll::Ready(Ok(self.pending.len()))
    }

    /// Says that the body is complete.
    pub(super) fn end(&mut self, trailers: Trailers<'_>) {
        if matches!(self.end, End::Open) {
            self.end = End::Due(match trailers {
                Trailers::None => None,
                Trailers::Lines(lines) => trailer_map(lines),
                Trailers::Map(map) => Some(map.clone()),
            });
        }
    }
}
