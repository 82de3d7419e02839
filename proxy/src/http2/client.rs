//! HTTP/2 connections to upstreams: one carries the requests of many clients.
//!
//! Each connection has its own task. It lives while a handle to it or a stream of it exists. Knows no
//! endpoint and no cap; what it was opened with is kept until it has ended.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::sniff::{ProtocolSniffer, SniffedProtocol};
use super::transport::Transport;
use crate::io::Io;

/// Bytes of a response that an upstream may send ahead of the client, on a stream and on all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes of a request that wait inside the connection.
const SEND_BUFFER: usize = 64 * 1024;
/// An upstream that names no limit of its own is given no more streams on one connection.
const MAX_STREAMS: usize = 1000;
/// What an upstream's head may be: as for HTTP/1.
const HEAD_BYTES: u32 = 60 * 1024;

/// A handle to an open connection.
pub struct Channel {
    send: SendRequest<Bytes>,
    state: Rc<ChannelState>,
}

#[derive(Default)]
struct ChannelState {
    streams: Cell<usize>,
    closed: Cell<bool>,
    used: Cell<bool>,
    quiet_since: Cell<Option<Instant>>,
    /// Wakes those who wait for a stream, or for the end.
    changed: Rc<Notify>,
    sniffed: Rc<ProtocolSniffer>,
}

impl Channel {
    /// Starts HTTP/2 on a connection. `kept` is dropped when the connection has ended. `changed` is
    /// notified of that, and of each stream that ends.
    pub async fn open(
        io: Rc<Io>,
        changed: Rc<Notify>,
        kept: impl Sized + 'static,
    ) -> Result<Self, h2::Error> {
        let sniffed = Rc::<ProtocolSniffer>::default();
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake::<_, Bytes>(Transport::sifted(io, Rc::clone(&sniffed)))
            .await?;
        let state = Rc::new(ChannelState { changed, sniffed, ..ChannelState::default() });
        state.quiet_since.set(Some(Instant::now()));
        let driven = Rc::clone(&state);
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream broke");
            }
            driven.closed.set(true);
            drop(kept);
            driven.changed.notify_waiters();
        });
        Ok(Self { send, state })
    }

    /// Whether another request may begin: no GOAWAY was sent or received.
    pub fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !self.state.closed.get()
            && matches!(self.send.clone().poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Whether there is room for another stream.
    pub fn has_room(&self) -> bool {
        self.state.streams.get() < self.send.current_max_send_streams().min(MAX_STREAMS)
    }

    /// Since when it has carried no stream; `None` while it does.
    pub fn quiet_since(&self) -> Option<Instant> {
        self.state.quiet_since.get()
    }

    /// The right to one stream.
    pub fn lease(&self) -> Lease {
        let streams = self.state.streams.get();
        self.state.streams.set(streams + 1);
        self.state.quiet_since.set(None);
        let reused = self.state.used.replace(true);
        Lease { send: self.send.clone(), state: Rc::clone(&self.state), reused }
    }
}

/// The right to one stream of a connection; given back on drop.
pub struct Lease {
    send: SendRequest<Bytes>,
    state: Rc<ChannelState>,
    reused: bool,
}

impl Lease {
    /// Its connection has carried a request before.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// What the upstream has sent on the connection.
    pub fn sniffed(&self) -> SniffedProtocol {
        self.state.sniffed.what()
    }

    /// Sends a request's head; `whole` when nothing follows it.
    pub fn send(
        &mut self,
        request: Request<()>,
        whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.send.send_request(request, whole)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let streams = self.state.streams.get() - 1;
        self.state.streams.set(streams);
        if streams == 0 {
            self.state.quiet_since.set(Some(Instant::now()));
        }
        self.state.changed.notify_waiters();
    }
}

/// The code with which the peer has reset the stream.
pub fn reset_code(error: &h2::Error) -> Option<h2::Reason> {
    error.reason().filter(|_| error.is_remote() && error.is_reset())
}

/// Whether an upstream certainly did not process the request: it refused the stream, or had sent
/// GOAWAY before it (RFC 9113, section 8.7).
pub fn is_refused(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}
