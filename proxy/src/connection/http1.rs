//! HTTP/1: requests one after another, and the quiet between them. Where a connection begins, since
//! its first bytes tell what it speaks.
//!
//! Between requests only what is in this file's future stays in memory; the state of a request is
//! boxed apart and holds the buffers. Knows nothing of routing or upstreams.

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

/// Who was told that the connection goes on may have sent a request when it reaches its age: so
/// long the next one is waited for, whose response says that it was the last.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// How long bytes that came in the last moment may take to be read.
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
                Wait::Request => {}
                Wait::Close => break,
                Wait::Left => {
                    if served == 0 {
                        notice_leaving(&worker, &client, None);
                    }
                    break;
                }
                Wait::Gone(error) => {
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
        // Boxed, so that the state of a request does not weigh on idle connections.
        let request = Box::pin(handler::handle(&worker, &client, filled, served));
        served += 1;
        match request.await {
            Next::KeepAlive(rest) => buffer = rest,
            Next::Close => break,
            Next::Abort => return,
        }
    }
    // Boxed, like what is rare below: an idle connection has no room for it.
    Box::pin(close(&worker, &client)).await;
}

/// In a task of its own, so that what HTTP/2 needs does not weigh on the others.
fn go_on_as_http2(worker: Rc<Worker>, client: Rc<Client>, first: Option<Buffer>) {
    tokio::task::spawn_local(http2::serve(worker, client, first));
}

/// Whether a connection on which nothing was agreed speaks HTTP/2: its first bytes tell
/// (RFC 9113, section 3.3).
async fn is_http2(worker: &Worker, client: &Client, buffer: &mut Option<Buffer>) -> bool {
    /// No method of HTTP/1 begins so.
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
            // Whoever reads the request meets the same and has words for it.
            _ => return false,
        }
    }
}

enum Wait {
    Request,
    /// Say goodbye and close.
    Close,
    /// The same to a client that has said it first.
    Left,
    /// The client has closed already, or the connection broke.
    Gone(Option<std::io::Error>),
}

async fn wait_for_request(
    worker: &Worker,
    client: &Client,
    buffer: &mut Option<Buffer>,
    served: u32,
) -> Wait {
    let timeouts = worker
        .current_of(&client.listener)
        .listener(client.listener.id)
        .map(|listener| (*listener.settings.timeouts.head, *listener.settings.timeouts.idle));
    let Some((head, idle)) = timeouts else { return Wait::Close };
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
        // Under TLS a goodbye is answered: a client cannot tell the end from an attack otherwise.
        Some(Ok(0)) if client.tls.is_some() => Wait::Left,
        Some(Ok(0)) => Wait::Gone(None),
        Some(Err(error)) => Wait::Gone(Some(error)),
        Some(Ok(_)) => Wait::Request,
        None if client.registration.is_dismissed() => Wait::Close,
        // Bytes that came in the very last moment are a request, and answered.
        None if client.io.peer_state() == PeerState::Sending => {
            client.deadline.set(Instant::now() + LAST_READ);
            let last = read_some(&client.io, worker.buffers(), buffer);
            match Box::pin(client.deadline.bound(last)).await {
                Ok(Ok(count)) if count > 0 => Wait::Request,
                _ => Wait::Gone(None),
            }
        }
        None => Wait::Close,
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
