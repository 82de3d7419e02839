//! HTTP/1 connections: sequential requests and the idle time between them. Every connection begins
//! here, because its first bytes show which protocol it speaks.
//!
//! An idle connection costs only the future of this file. The state of a request is boxed apart and
//! holds the buffers. Knows nothing of routing or upstreams.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use portcullis_config::model::{HttpProtocol, Protocols};
use tokio::time::Instant;

use super::closing::close;
use super::http2;
use crate::buffer::Buffer;
use crate::client::Client;
use crate::exchange::Next;
use crate::handler;
use crate::io::PeerState;
use crate::relay::read_some;
use crate::unserved::{notice_leaving, notice_tls};
use crate::worker::Worker;

/// A client that expects a kept connection may have sent a request when the connection reaches its
/// age. The next request is awaited this long; its response announces the close.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// How long the bytes may take that arrived just before the close.
const LAST_READ: Duration = Duration::from_secs(1);

/// Serves until the client leaves, a request ends the connection, or it is drained.
pub async fn serve(worker: Rc<Worker>, client: Rc<Client>) {
    let mut buffer: Option<Buffer> = None;
    let mut served: u32 = 0;
    if client.agreed() == Some(HttpProtocol::Http2) {
        return go_on_as_http2(worker, client, None);
    }
    loop {
        if buffer.is_none() {
            match wait_for_request(&worker, &client, &mut buffer, served).await {
                IdleOutcome::Request => {}
                IdleOutcome::Close => break,
                IdleOutcome::Left => {
                    if served == 0 {
                        notice_leaving(&worker, &client, None);
                    }
                    break;
                }
                IdleOutcome::Gone(error) => {
                    if served == 0 {
                        notice_leaving(&worker, &client, error.as_ref());
                    }
                    return;
                }
            }
        }
        if served == 0 {
            notice_tls(&worker, &client, buffer.as_ref().map_or(&[], Buffer::filled));
        }
        if served == 0 && Box::pin(is_http2(&worker, &client, &mut buffer)).await {
            return go_on_as_http2(worker, client, buffer);
        }
        let Some(filled) = buffer.take() else { break };
        // Boxed, so that idle connections do not carry the state of a request.
        let request = Box::pin(handler::handle(&worker, &client, filled, served));
        served += 1;
        match request.await {
            Next::KeepAlive(rest) => buffer = rest,
            Next::Close => break,
            Next::Abort => return,
        }
    }
    // Boxed, so that idle connections do not carry it.
    Box::pin(close(&worker, &client)).await;
}

/// In its own task, so that connections of HTTP/1 do not carry the state of HTTP/2.
fn go_on_as_http2(worker: Rc<Worker>, client: Rc<Client>, first: Option<Buffer>) {
    tokio::task::spawn_local(http2::serve(worker, client, first));
}

/// Whether a connection without ALPN speaks HTTP/2, by its first bytes (RFC 9113, section 3.3).
async fn is_http2(worker: &Worker, client: &Client, buffer: &mut Option<Buffer>) -> bool {
    /// No HTTP/1 method begins like this.
    const PREFACE_START: &[u8] = b"PRI ";
    let current = worker.current_of(&client.listener);
    let protocols = current.listener(client.listener.id).map(|it| it.settings.protocols);
    drop(current);
    match protocols {
        Some(Protocols { http2: true, .. }) if client.agreed().is_none() => {}
        _ => return false,
    }
    loop {
        let seen = buffer.as_ref().map_or(&[][..], Buffer::filled);
        if seen.starts_with(PREFACE_START) {
            return true;
        }
        if !PREFACE_START.starts_with(seen) {
            return !protocols.is_some_and(|protocols| protocols.http1);
        }
        let read = read_some(&client.io, worker.buffers(), buffer);
        match client.deadline.bound(read).await {
            Ok(Ok(count)) if count > 0 => {}
            // Reading the request meets the same error and reports it.
            _ => return false,
        }
    }
}

enum IdleOutcome {
    Request,
    /// Close in order: announce the end, linger, close.
    Close,
    /// The same, after the client has closed its side.
    Left,
    /// The client has closed already, or the connection broke.
    Gone(Option<std::io::Error>),
}

async fn wait_for_request(
    worker: &Worker,
    client: &Client,
    buffer: &mut Option<Buffer>,
    served: u32,
) -> IdleOutcome {
    let timeouts = worker
        .current_of(&client.listener)
        .listener(client.listener.id)
        .map(|listener| (*listener.settings.timeouts.head, *listener.settings.timeouts.idle));
    let Some((head, idle)) = timeouts else { return IdleOutcome::Close };
    let patience = if served == 0 { head } else { idle };
    let quiet = client.quiet_since.get();
    let aged = client.ends_at.map(|end| end.max(quiet + LAST_REQUEST));
    client.deadline.set(aged.map_or(quiet + patience, |aged| aged.min(quiet + patience)));
    let mut announced = false;
    let outcome = {
        let mut read = std::pin::pin!(read_some(&client.io, worker.buffers(), buffer));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(Some(read));
            }
            if !announced && client.registration.poll_ending(cx) {
                announced = true;
                client.deadline.set(Instant::now() + client.registration.grace().min(patience));
            }
            client.deadline.poll_expired(cx).map(|()| None)
        })
        .await
    };
    match outcome {
        // Under TLS the close is answered with close_notify, or the client could not tell it from a
        // truncation attack.
        Some(Ok(0)) if client.tls.is_some() => IdleOutcome::Left,
        Some(Ok(0)) => IdleOutcome::Gone(None),
        Some(Err(error)) => IdleOutcome::Gone(Some(error)),
        Some(Ok(_)) => IdleOutcome::Request,
        None if client.registration.is_dismissed() => IdleOutcome::Close,
        // Bytes that arrived just before the close are a request, and it is answered.
        None if client.io.peer_state() == PeerState::Sending => {
            client.deadline.set(Instant::now() + LAST_READ);
            let last = read_some(&client.io, worker.buffers(), buffer);
            match Box::pin(client.deadline.bound(last)).await {
                Ok(Ok(count)) if count > 0 => IdleOutcome::Request,
                _ => IdleOutcome::Gone(None),
            }
        }
        None => IdleOutcome::Close,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle connection is this, its task's header, its socket's registration and its timer:
    /// together they must stay below 1.5 KiB.
    #[test]
    fn an_idle_connection_is_small() {
        let future = std::mem::size_of_val(&future_of(serve));
        assert!(future <= 288, "the task's future takes {future} bytes");
        assert!(size_of::<Client>() <= 384, "a client takes {} bytes", size_of::<Client>());
    }

    /// Allocated for each request of HTTP/1.
    #[test]
    fn a_request_is_small() {
        fn future_of<'a, F: Future>(
            _: impl Fn(&'a Worker, &'a Client, Buffer, u32) -> F,
        ) -> std::mem::MaybeUninit<F> {
            std::mem::MaybeUninit::uninit()
        }
        let future = std::mem::size_of_val(&future_of(handler::handle));
        assert!(future <= 3_584, "the request's future takes {future} bytes");
    }

    fn future_of<F: Future>(_: impl Fn(Rc<Worker>, Rc<Client>) -> F) -> std::mem::MaybeUninit<F> {
        std::mem::MaybeUninit::uninit()
    }
}
