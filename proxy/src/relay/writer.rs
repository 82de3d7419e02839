//! The sending end of a body, whatever carries it: framed bytes in HTTP/1, DATA frames under flow
//! control in HTTP/2.
//!
//! A head that waits here leaves together with the first bytes of its body.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

pub use super::http2_writing::Http2Writing;
use super::reader::{Data, Trailers};
use crate::http1::chunked;
use crate::http2::fields::trailer_lines;
use crate::io::Io;
use crate::message::Framing;

/// Up to here a body is copied behind its head; above, both leave by one vectored write.
const COPY_BELOW: usize = 8 * 1024;
/// Framed chunks that are collected before they leave.
const COLLECT: usize = 64 * 1024;

/// A message being written. Its head stands in it already.
pub enum Writing<'c> {
    Http1(Http1Writing<'c>),
    /// Boxed: it would weigh on every message of HTTP/1.
    Http2(Box<Http2Writing>),
}

/// One HTTP/1 message on its way.
pub struct Http1Writing<'c> {
    io: Wire<'c>,
    /// What is to leave: the head at first, later framing and small pieces.
    out: Vec<u8>,
    framing: Framing,
    /// Bytes of `out` that have left.
    sent: usize,
    ended: bool,
}

/// How much of a message has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub any: bool,
    pub whole: bool,
    /// Bytes of its body.
    pub body: usize,
}

/// The connection to write to.
pub enum Wire<'c> {
    Client(&'c Io),
    Upstream(Rc<Io>),
}

impl std::ops::Deref for Wire<'_> {
    type Target = Io;

    fn deref(&self) -> &Io {
        match self {
            Self::Client(io) => io,
            Self::Upstream(io) => io,
        }
    }
}

impl<'c> Http1Writing<'c> {
    /// `head` is the encoded head.
    pub fn new(io: Wire<'c>, head: Vec<u8>, framing: Framing) -> Self {
        Self { io, out: head, framing, sent: 0, ended: false }
    }

    /// Hands the head and a body of announced length, which is all here, to a socket that takes
    /// them at once. How much of the body has left; with all of it, the head has.
    pub fn leave_at_once(&mut self, body: &[u8]) -> Left {
        let head = self.out.len();
        let count = if body.len() <= COPY_BELOW {
            self.out.extend_from_slice(body);
            let count = self.io.write_at_once(&[IoSlice::new(&self.out)]);
            self.out.truncate(head);
            count
        } else {
            self.io.write_at_once(&[IoSlice::new(&self.out), IoSlice::new(body)])
        };
        self.sent = count.min(head);
        if self.sent == head {
            self.out.clear();
            self.sent = 0;
        }
        Left { any: count > 0, whole: count == head + body.len(), body: count.saturating_sub(head) }
    }
}

impl Http1Writing<'_> {
    /// The buffer that the message was written from, for the next one.
    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

impl Writing<'_> {
    /// The buffer that an HTTP/1 message was written from, for the next one.
    pub fn take_out(&mut self) -> Vec<u8> {
        match self {
            Self::Http1(writing) => writing.take_out(),
            Self::Http2(_) => Vec::new(),
        }
    }

    /// Takes as much of `data` as it can; what it keeps leaves with the next flush. `progress`
    /// hears of every step on the wire.
    pub fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        data: Data<'_>,
        progress: &mut impl FnMut(usize),
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Http1(writing) => writing.poll_data(cx, data.as_slice(), progress),
            Self::Http2(writing) => writing.poll_data(cx, data, progress),
        }
    }

    /// The connection to which a body may go on as it comes, once everything before it has left.
    pub fn open_end(&self) -> Option<&Io> {
        match self {
            Self::Http1(it) if it.out.is_empty() && it.framing != Framing::Chunked => Some(&it.io),
            Self::Http1(_) | Self::Http2(_) => None,
        }
    }

    /// Says that the body is complete; the next flush tells the peer.
    pub fn end(&mut self, trailers: Trailers<'_>) {
        match self {
            Self::Http1(writing) => writing.end(trailers),
            Self::Http2(writing) => writing.end(trailers),
        }
    }

    /// Everything taken so far leaves.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Http1(writing) => {
                ready!(writing.poll_send(cx, progress))?;
                if writing.io.is_tls() { writing.io.poll_flush(cx) } else { Poll::Ready(Ok(())) }
            }
            Self::Http2(writing) => writing.poll_flush(cx, progress),
        }
    }
}

impl Writing<'_> {
    /// After the last flush: nothing else will be sent on a connection that carries only this.
    pub fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, progress))?;
        match self {
            Self::Http1(writing) => writing.io.poll_shutdown(cx),
            Self::Http2(_) => Poll::Ready(Ok(())),
        }
    }

    /// Lets the peer see that this has not come to its end.
    pub fn break_off(&mut self) {
        match self {
            Self::Http1(writing) => writing.io.reset_on_close(),
            Self::Http2(writing) => writing.reset(h2::Reason::CANCEL),
        }
    }
}

impl Http1Writing<'_> {
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        progress: &mut impl FnMut(usize),
    ) -> Poll<io::Result<usize>> {
        if self.framing == Framing::Chunked {
            if self.out.len() >= COLLECT {
                ready!(self.poll_send(cx, progress))?;
            }
            chunked::write_chunk(&mut self.out, data);
            return Poll::Ready(Ok(data.len()));
        }
        let fits = data.len() <= COPY_BELOW && self.out.len() + data.len() <= COLLECT;
        if !self.out.is_empty() && fits {
            self.out.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        loop {
            let rest = &self.out[self.sent..];
            let (whole, only) = ([IoSlice::new(rest), IoSlice::new(data)], [IoSlice::new(data)]);
            let slices = if rest.is_empty() { &only[..] } else { &whole[..] };
            let count = written(ready!(self.io.poll_write(cx, slices)))?;
            progress(count);
            let of_data = count.checked_sub(rest.len());
            match of_data {
                Some(of_data) => {
                    self.out.clear();
                    self.sent = 0;
                    if of_data > 0 {
                        return Poll::Ready(Ok(of_data));
                    }
                }
                None => self.sent += count,
            }
        }
    }

    fn end(&mut self, trailers: Trailers<'_>) {
        if std::mem::replace(&mut self.ended, true) || self.framing != Framing::Chunked {
            return;
        }
        match trailers {
            Trailers::None => chunked::write_last_chunk(&mut self.out, &[]),
            Trailers::Lines(lines) => chunked::write_last_chunk(&mut self.out, lines),
            Trailers::Map(map) => chunked::write_last_chunk(&mut self.out, &trailer_lines(map)),
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let rest = [IoSlice::new(&self.out[self.sent..])];
            let count = written(ready!(self.io.poll_write(cx, &rest)))?;
            self.sent += count;
            progress(count);
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

/// A socket that takes nothing will not take anything later.
fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
