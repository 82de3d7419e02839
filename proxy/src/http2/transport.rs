//! A client's or an upstream's byte stream in the form that the framing wants.

use std::io::{self, IoSlice};
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buffer;
use crate::io::Io;

/// A stream that somebody else owns, with what was read of it already.
pub(super) struct Transport<T> {
    io: T,
    first: Option<Buffer>,
}

impl<T: Deref<Target = Io>> Transport<T> {
    pub(super) fn new(io: T, first: Option<Buffer>) -> Self {
        Self { io, first }
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
        this.io.poll_read_buf(cx, room)
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
