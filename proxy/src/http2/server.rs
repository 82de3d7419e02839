//! HTTP/2 connections of clients: streams in, each handled in a task of its own.
//!
//! Knows connections and their end; what a request is to become is the handler's.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use tokio::time::Instant;

use super::transport::Transport;
use crate::buffer::Buffer;
use crate::connection::Client;
use crate::handler;
use crate::io::Io;
use crate::worker::Worker;

/// What every client's connection begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that a client may have open at once.
const MAX_STREAMS: u32 = 100;
/// Bytes of a body that a client may send ahead of us, on a stream and on all of them.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a response that wait inside the connection for the client to take them.
const SEND_BUFFER: usize = 64 * 1024;

/// One request of a connection.
pub struct Stream {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

/// The connection's bytes, owned together with its other facts.
struct Shared(Rc<Client>);

impl Deref for Shared {
    type Target = Io;

    fn deref(&self) -> &Io {
        &self.0.io
    }
}

/// Serves until the client leaves, the connection is drained, or nothing happens for too long.
/// `first` holds what was read of it already.
pub async fn serve(worker: Rc<Worker>, client: Rc<Client>, first: Option<Buffer>) {
    let current = worker.current_of(&client.listener);
    let Some(listener) = current.listener(client.listener.id) else { return };
    let timeouts = &listener.settings.timeouts;
    let (head, idle) = (*timeouts.head, *timeouts.idle);
    let transport = Transport::new(Shared(Rc::clone(&client)), first);
    client.deadline.set(Instant::now() + head);
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // More than is let pass: what is above this is refused by the crate, without our words.
        .max_header_list_size(u32::try_from(2 * listener.rules.head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(transport);
    drop(current);
    let Ok(Ok(connection)) = client.deadline.bound(handshake).await else { return };
    client.quiet_since.set(Instant::now());
    let mut session = Session {
        connection,
        client: &client,
        streams: Rc::default(),
        ending: false,
        idle: if idle.is_zero() { head } else { idle },
    };
    let mut served = 0;
    while let Some(stream) = std::future::poll_fn(|cx| session.poll_stream(cx)).await {
        let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
        let open = Open::begin(&session.streams);
        tokio::task::spawn_local(async move {
            let _open = open;
            handler::handle_stream(&worker, &client, stream, served).await;
        });
        served += 1;
    }
}

/// A connection between two of its streams.
struct Session<'a> {
    connection: Connection<Transport<Shared>, Bytes>,
    client: &'a Client,
    /// How many streams are being handled.
    streams: Rc<Cell<u32>>,
    /// The client was told that no other stream will be taken.
    ending: bool,
    idle: std::time::Duration,
}

impl Session<'_> {
    /// Moves the connection on until a request is there; `None` at its end.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
        if !self.ending && self.client.registration.poll_draining(cx) {
            self.end();
        }
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (head, body) = request.into_parts();
                    return Poll::Ready(Some(Stream { head, body, respond }));
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "an HTTP/2 connection broke");
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            if self.streams.get() > 0 {
                return Poll::Pending;
            }
            if !self.ending {
                self.client.deadline.set(self.client.quiet_since.get() + self.idle);
            }
            if self.client.deadline.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            if self.ending {
                // It does not even answer the last ping.
                return Poll::Ready(None);
            }
            self.end();
        }
    }

    /// Says goodbye; what is under way goes on to its end.
    fn end(&mut self) {
        self.ending = true;
        self.connection.graceful_shutdown();
        let patience = self.client.registration.grace().max(LAST_WORDS);
        self.client.deadline.set(Instant::now() + patience);
    }
}

/// How long a client that was told goodbye has for its last ping.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// Counts a stream until its task has ended.
struct Open(Rc<Cell<u32>>);

impl Open {
    fn begin(streams: &Rc<Cell<u32>>) -> Self {
        streams.set(streams.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
