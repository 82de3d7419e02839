//! The first bytes of a connection, noted while a handshake reads them.
//!
//! Knows how HTTP and TLS begin, and nothing of what follows.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::Socket;

/// The first bytes of a connection.
#[derive(Default)]
pub(super) struct FirstBytes {
    bytes: Cell<[u8; Self::MOST]>,
    count: Cell<usize>,
}

impl FirstBytes {
    /// As many as tell which protocol it is.
    const MOST: usize = 8;
    /// How requests begin; no TLS record does.
    const METHODS: [&[u8]; 9] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
        b"PATCH ",
        b"CONNECT ",
        b"TRACE ",
    ];
    const HTTP2: &[u8] = b"PRI * HT";

    fn take(&self, bytes: &[u8]) {
        let (mut kept, count) = (self.bytes.get(), self.count.get());
        let taken = bytes.len().min(Self::MOST - count);
        kept[count..count + taken].copy_from_slice(&bytes[..taken]);
        self.bytes.set(kept);
        self.count.set(count + taken);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    pub(super) fn get(&self) -> Vec<u8> {
        self.bytes.get()[..self.count.get()].to_vec()
    }

    pub(super) fn is_http(&self) -> bool {
        Self::METHODS.iter().any(|method| self.begins(method)) || self.is_http2()
    }

    pub(super) fn is_http2(&self) -> bool {
        self.begins(Self::HTTP2)
    }

    /// Whether all the bytes, and at least those of the shortest method, fit.
    fn begins(&self, text: &[u8]) -> bool {
        let common = self.count.get().min(text.len());
        common >= 4 && self.bytes.get()[..common] == text[..common]
    }
}

/// A socket whose first bytes are noted. A client that speaks HTTP is sent no alert: it would stand
/// before the answer that the client understands.
pub(super) struct First<'a> {
    pub(super) socket: Socket,
    pub(super) seen: &'a FirstBytes,
}

impl AsyncRead for First<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = room.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, room))?;
        this.seen.take(&room.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for First<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.seen.is_http() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_known_by_its_first_bytes_however_they_are_cut() {
        for (bytes, http, http2) in [
            (&b"GET / HTTP/1.1\r\n"[..], true, false),
            (b"OPTIONS * HTTP/1.1", true, false),
            (b"DELETE", true, false),
            (b"PRI * HTTP/2.0\r\n", true, true),
            (b"PRI ", true, true),
            (b"GET", false, false),
            (b"GETS /", false, false),
            (b"SSH-2.0-x", false, false),
            (b"\x16\x03\x01\x02\x00\x01", false, false),
            (b"", false, false),
        ] {
            for cut in 0..=bytes.len() {
                let seen = FirstBytes::default();
                seen.take(&bytes[..cut]);
                seen.take(&bytes[cut..]);
                let text = bytes.escape_ascii();
                assert_eq!((seen.is_http(), seen.is_http2()), (http, http2), "{text} at {cut}");
                assert_eq!(seen.get(), bytes[..bytes.len().min(8)], "{text} at {cut}");
            }
        }
    }
}
