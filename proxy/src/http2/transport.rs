//! A client's or an upstream's byte stream in the form that the framing wants.

use std::io::{self, IoSlice};
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frame::HEADER;
use super::sieve::Sieve;
use super::sniff::ProtocolSniffer;
use crate::buffer::Buffer;
use crate::io::Io;

/// A byte stream, with the bytes that were read from it already.
pub(crate) struct Transport<T> {
    io: T,
    first: Option<Buffer>,
    upstream: Option<Upstream>,
}

/// Filters and watches the bytes of an upstream.
struct Upstream {
    sieve: Sieve,
    sniffed: Rc<ProtocolSniffer>,
}

impl<T: Deref<Target = Io>> Transport<T> {
    pub(crate) fn new(io: T, first: Option<Buffer>) -> Self {
        Self { io, first, upstream: None }
    }

    /// The same of an upstream, without the frames that say nothing.
    pub(super) fn sifted(io: T, sniffed: Rc<ProtocolSniffer>) -> Self {
        let upstream = Upstream { sieve: Sieve::new(Instant::now()), sniffed };
        Self { io, first: None, upstream: Some(upstream) }
    }
}

impl<T: Deref<Target = Io> + Unpin> AsyncRead for Transport<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(first) = &mut this.first {
            let count = first.len().min(room.remaining());
            room.put_slice(&first.filled()[..count]);
            first.consume(count);
            if first.is_empty() {
                this.first = None;
            }
            return Poll::Ready(Ok(()));
        }
        match &mut this.upstream {
            Some(Upstream { sieve, sniffed }) => {
                let before = room.filled().len();
                let polled = poll_sifted(&this.io, sieve, cx, room);
                match &polled {
                    Poll::Ready(Ok(())) => sniffed.bytes(&room.filled()[before..]),
                    Poll::Ready(Err(error)) => sniffed.error(error),
                    Poll::Pending => {}
                }
                polled
            }
            None => this.io.poll_read_buf(cx, room),
        }
    }
}

/// Reads until something is left. No peer can keep it here: what is taken out in a row is counted.
fn poll_sifted(
    io: &Io,
    sieve: &mut Sieve,
    cx: &mut Context<'_>,
    room: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    loop {
        let missing = sieve.missing();
        if missing > 0 {
            let mut rest = [0; HEADER];
            let count = ready!(io.poll_read(cx, &mut rest[..missing]))?;
            sieve.add(&rest[..count], Instant::now);
            continue;
        }
        if let Some(bytes) = sieve.take(room.remaining()) {
            room.put_slice(bytes);
            return Poll::Ready(Ok(()));
        }
        let before = room.filled().len();
        ready!(io.poll_read_buf(cx, room))?;
        if room.filled().len() == before {
            return Poll::Ready(Ok(()));
        }
        let kept = sieve.sift(&mut room.filled_mut()[before..], Instant::now);
        room.set_filled(before + kept);
        if kept > 0 {
            return Poll::Ready(Ok(()));
        }
    }
}

impl<T: Deref<Target = Io> + Unpin> AsyncWrite for Transport<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_shutdown(cx)
    }
}
