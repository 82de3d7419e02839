//! Accepting: from a bound socket to a connection that is being served.
//!
//! Every worker has its own socket of each listener. Knows limits and TLS, no HTTP.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::connection::{self, Client, TlsFacts};
use crate::deadline::Deadline;
use crate::drain::Connections;
use crate::io::{Io, Socket};
use crate::snapshot::HttpListener;
use crate::worker::Worker;

/// How long accepting pauses when the process is out of descriptors: long enough not to spin,
/// short enough to be back within a second.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A listener's identity over generations: it stays while the address stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u64);

/// A listening socket of one worker.
pub enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}

/// A listener as one worker serves it.
pub struct Bound {
    pub id: ListenerId,
    pub connections: Rc<Connections>,
    /// Open connections of this listener over all workers.
    pub open: Arc<AtomicU32>,
    stop: Notify,
}

impl Bound {
    pub fn new(id: ListenerId, open: Arc<AtomicU32>) -> Self {
        Self { id, connections: Rc::default(), open, stop: Notify::new() }
    }

    /// Stops accepting and asks the open connections to end.
    pub fn retire(&self) {
        self.stop.notify_one();
        self.connections.drain();
    }
}

/// Accepts until the listener retires, then takes what is queued already and closes the socket.
pub async fn accept(worker: Rc<Worker>, bound: Rc<Bound>, acceptor: Acceptor) {
    loop {
        tokio::select! {
            biased;
            () = bound.stop.notified() => break,
            accepted = acceptor.accept() => take(&worker, &bound, accepted).await,
        }
    }
    // The kernel would reset what is queued on a closed socket.
    loop {
        let accepted = std::future::poll_fn(|cx| {
            let attempt = std::pin::pin!(acceptor.accept());
            std::task::Poll::Ready(attempt.poll(cx))
        });
        match accepted.await {
            std::task::Poll::Ready(Ok(accepted)) => {
                take(&worker, &bound, Ok(accepted)).await;
            }
            _ => return,
        }
    }
}

async fn take(
    worker: &Rc<Worker>,
    bound: &Rc<Bound>,
    accepted: io::Result<(Socket, Option<SocketAddr>)>,
) {
    let (socket, peer) = match accepted {
        Ok(accepted) => accepted,
        Err(error) if is_exhausted(&error) => {
            warn!(%error, "accepting pauses: out of descriptors or memory");
            sleep(EXHAUSTED_PAUSE).await;
            return;
        }
        // The client was gone before it was accepted.
        Err(error) => return debug!(%error, "accept failed"),
    };
    let Some(listener) = worker.current().listener(bound.id).cloned() else { return };
    let Some(place) = Place::take(bound, &listener) else {
        listener.metrics.of(worker.id()).refused.increment();
        return;
    };
    listener.metrics.of(worker.id()).accepted.increment();
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(admit(worker, listener, place, socket, peer));
}

/// A place under the listener's connection limit, given back on drop.
struct Place {
    bound: Rc<Bound>,
}

impl Place {
    fn take(bound: &Rc<Bound>, listener: &HttpListener) -> Option<Self> {
        let limit = listener.settings.connection_limits.max.get();
        if bound.open.fetch_add(1, Ordering::Relaxed) >= limit {
            bound.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self { bound: Rc::clone(bound) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bound.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shakes hands where the listener wants TLS, then serves.
async fn admit(
    worker: Rc<Worker>,
    listener: Arc<HttpListener>,
    place: Place,
    socket: Socket,
    address: Option<SocketAddr>,
) {
    let accepted = Instant::now();
    let metrics = Arc::clone(&listener.metrics);
    let _open = metrics.of(worker.id()).active.hold();
    let (io, tls) = match &listener.tls {
        None => (Io::plain(socket), None),
        Some(tls) => {
            let acceptor = TlsAcceptor::from(tls.server_config());
            let patience = *listener.settings.timeouts.handshake;
            // Boxed: a handshake's state is large, and gone before the first request.
            let handshake = Box::pin(timeout(patience, acceptor.accept(socket)));
            match handshake.await {
                Ok(Ok(stream)) => {
                    let (_, session) = stream.get_ref();
                    let identity = match tls.peer(session) {
                        Ok(identity) => identity.map(Box::new),
                        Err(error) => {
                            metrics.of(worker.id()).handshake_failures.increment();
                            return debug!(listener = &*listener.name, %error, "client refused");
                        }
                    };
                    let facts = TlsFacts {
                        sni: session.server_name().map(str::to_owned),
                        version: version_name(session.protocol_version()),
                        identity,
                    };
                    (Io::server(stream), Some(Box::new(facts)))
                }
                Ok(Err(error)) => {
                    listener.metrics.of(worker.id()).handshake_failures.increment();
                    return debug!(listener = &*listener.name, %error, "TLS handshake failed");
                }
                Err(_) => {
                    listener.metrics.of(worker.id()).handshake_failures.increment();
                    return debug!(listener = &*listener.name, "TLS handshake timed out");
                }
            }
        }
    };
    let bound = Rc::clone(&place.bound);
    let client = Client {
        io,
        address,
        tls,
        accepted,
        handshake: accepted.elapsed(),
        registration: bound.connections.register(),
        listener: bound,
        deadline: Deadline::at(accepted + *listener.settings.timeouts.head),
        patience: *listener.settings.timeouts.body,
        listener_name: Arc::clone(&listener.name),
        address_text: address
            .map(|address| address.ip().to_canonical().to_string())
            .unwrap_or_default()
            .into(),
    };
    drop(listener);
    connection::serve(worker, client).await;
}

fn version_name(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
