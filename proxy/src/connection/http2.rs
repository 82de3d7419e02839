//! HTTP/2 connections of clients: streams in, each handled in a task of its own.
//!
//! Knows connections and how they end. `handler` processes the requests.

mod session;
mod streams;

use std::ops::{ControlFlow, Deref};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::closing::close;
use crate::buffer::Buffer;
use crate::client::Client;
use crate::error::Reason;
use crate::handler;
use crate::http2::metered::Metered;
use crate::http2::transport::Transport;
use crate::io::Io;
use crate::unserved::ConnectionFailure;
use crate::worker::Worker;
use session::{ClientError, Session};
use streams::OpenStream;

/// Streams that a client may have open at once.
const MAX_STREAMS: u32 = 100;
/// Bytes of a body that a client may send ahead of us, on a stream and on all of them.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a response that wait inside the connection for the client to take them.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that the client resets before their handler has started: it may reset all that it may
/// have open. They reach no upstream, and the meter counts them too.
const MAX_UNSEEN_RESETS: usize = MAX_STREAMS as usize;
/// Streams that a client's own errors may end in the life of a connection. Each may have cost an
/// upstream a request, like a reset by the client.
const MAX_MISTAKES: usize = 200;
/// How long streams that we have reset are remembered, so that frames a client had already sent do
/// not count as its errors: at 1 Mbit/s a full window takes two seconds.
const REMEMBER_RESETS: Duration = Duration::from_secs(5);

/// The connection's bytes, owned together with its other facts.
struct SharedClient(Rc<Client>);

impl Deref for SharedClient {
    type Target = Io;

    fn deref(&self) -> &Io {
        &self.0.io
    }
}

/// Serves until the client leaves, the connection is drained, or nothing happens for too long.
/// `first` holds what was read of it already.
pub(super) async fn serve(worker: Rc<Worker>, client: Rc<Client>, first: Option<Buffer>) {
    let current = worker.current_of(&client.listener);
    let Some(listener) = current.listener(client.listener.id) else { return };
    let timeouts = &listener.settings.timeouts;
    let (head, idle) = (*timeouts.head, *timeouts.idle);
    let transport = Transport::new(SharedClient(Rc::clone(&client)), first);
    let (transport, meter) = Metered::new(transport);
    client.deadline.set(Instant::now() + head);
    let mut builder = h2::server::Builder::new();
    if listener.settings.upgrades.websocket {
        builder.enable_connect_protocol();
    }
    let handshake = builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Above the configured limit: what exceeds this is refused by the crate, without our reason.
        .max_header_list_size(u32::try_from(2 * listener.rules.head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(Some(MAX_MISTAKES))
        .max_concurrent_reset_streams(MAX_STREAMS as usize)
        .reset_stream_duration(REMEMBER_RESETS)
        // The budget of small DATA frames is the library's own: half of the connection's window.
        .handshake::<_, Bytes>(transport);
    let metrics = Arc::clone(&listener.metrics);
    drop(current);
    let ended = match client.deadline.bound(handshake).await {
        Ok(Ok(connection)) => {
            client.quiet_since.set(Instant::now());
            let idle = if idle.is_zero() { head } else { idle };
            let meter = Rc::clone(&meter);
            let mut session = Session::new(connection, &client, meter, head, idle);
            let mut served = 0;
            loop {
                match std::future::poll_fn(|cx| session.poll_stream(cx)).await {
                    ControlFlow::Continue(stream) => {
                        let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
                        let open = OpenStream::begin(&session.streams);
                        tokio::task::spawn_local(async move {
                            // Boxed: a task's future is moved more than once before it runs.
                            let stream = handler::handle_stream(&worker, &client, stream, served);
                            if Box::pin(stream).await == Some(Reason::ClientSlow) {
                                open.0.stood_still.set(true);
                            }
                        });
                        served += 1;
                    }
                    ControlFlow::Break(ended) => break ended,
                }
            }
        }
        Ok(Err(error)) => ClientError::of(&error, &meter.borrow()),
        Err(_) => None,
    };
    if let Some(ClientError { failure, cause }) = ended {
        let sni = client.tls.as_ref().and_then(|tls| tls.sni.as_deref());
        let failed = ConnectionFailure::new(failure, &metrics, worker.id(), client.address);
        ConnectionFailure { sni, ..failed }.report(cause);
    }
    close(&worker, &client).await;
}
