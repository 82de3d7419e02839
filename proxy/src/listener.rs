//! Accepting: from a bound socket to a connection that is being served.
//!
//! Every worker has its own socket for each listener. This module knows limits, PROXY protocol
//! headers and TLS. It starts the protocol above them by the listener's kind.

mod acceptor;
mod admit;
mod first;
mod handshake;
mod plain;
mod refused;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::connection;
use crate::connection_balance::{
    ConnectionBalancer, ConnectionSlot, HandedConnection, HandoverQueue,
};
use crate::descriptors;
use crate::io::Socket;
use crate::memory::Level;
use crate::snapshot::LiveListener;
use crate::sockets;
use crate::stream;
use crate::worker::{Bound, Worker};
use admit::{Admitted, admit};

pub use acceptor::Acceptor;

/// How long accepting pauses when the process is out of descriptors: long enough not to spin,
/// short enough to be back within a second.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How often a closing listener retries without descriptors, to accept what is queued.
const LAST_TRIES: u32 = 20;

/// Accepts until the listener retires. Then it accepts what is queued already and closes the socket.
pub async fn accept(
    worker: Rc<Worker>,
    bound: Rc<Bound>,
    acceptor: Acceptor,
    mut handover: HandoverQueue,
) {
    loop {
        tokio::select! {
            biased;
            () = bound.retired() => break,
            Some(handed) = handover.recv() => welcome(&worker, &bound, handed),
            accepted = acceptor.accept() => take(&worker, &bound, accepted).await,
        }
    }
    handover.close();
    while let Some(handed) = handover.recv().await {
        welcome(&worker, &bound, handed);
    }
    if let Err(error) = take_queued(&worker, &bound, acceptor).await {
        warn!(%error, "a listener was closed with connections that waited");
    }
    bound.close();
}

/// Accepts every queued connection, because the kernel would reset them when the socket is closed.
/// This asks the kernel: the runtime may say "not ready" although the queue is not empty.
async fn take_queued(worker: &Rc<Worker>, bound: &Rc<Bound>, acceptor: Acceptor) -> io::Result<()> {
    enum Bare {
        Tcp(std::net::TcpListener),
        Unix(std::os::unix::net::UnixListener),
    }
    let bare = match acceptor {
        Acceptor::Tcp(listener) => {
            let listener = listener.into_std()?;
            // Otherwise a client could connect between the last accept and the close.
            if let Err(error) = sockets::refuse_new(&listener) {
                debug!(%error, "a closing socket takes connections to its end");
            }
            Bare::Tcp(listener)
        }
        Acceptor::Unix(listener) => Bare::Unix(listener.into_std()?),
    };
    let accept = || -> io::Result<_> {
        match &bare {
            Bare::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(tokio::net::TcpStream::from_std(stream)?), Some(peer)))
            }
            Bare::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Unix(tokio::net::UnixStream::from_std(stream)?), None))
            }
        }
    };
    let mut tries = 0;
    let settled = Instant::now() + sockets::SETTLE;
    loop {
        match accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() >= settled {
                    return Ok(());
                }
                sleep(sockets::SETTLE / 4).await;
            }
            Err(error) if tries == LAST_TRIES => return Err(error),
            accepted => {
                tries += u32::from(accepted.is_err());
                take(worker, bound, accepted).await;
            }
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
            refused::report_exhausted(worker, bound, &error);
            sleep(EXHAUSTED_PAUSE).await;
            return;
        }
        // The client was gone before it was accepted.
        Err(error) => return debug!(%error, "accept failed"),
    };
    let Some(listener) = worker.current_of(bound).live(bound.id) else { return };
    let over = worker.memory().level() >= Level::Over;
    let limit = listener.most_connections().get();
    let Some(slot) = bound.balancer.try_acquire(worker.id(), limit).filter(|_| !over) else {
        return refused::report_refused(worker, bound, &listener, peer, over);
    };
    match ConnectionBalancer::hand_over(slot, socket, peer, worker.id()) {
        Ok(Some((slot, socket))) => serve(worker, bound, listener, slot, socket, peer),
        Ok(None) => {}
        Err(error) => debug!(%error, "a connection could not be handed to another worker"),
    }
}

/// Serves a connection that another worker has accepted.
fn welcome(worker: &Rc<Worker>, bound: &Rc<Bound>, handed: HandedConnection) {
    let Some(listener) = worker.current_of(bound).live(bound.id) else { return };
    match handed.unpack() {
        Ok((slot, socket, peer)) => serve(worker, bound, listener, slot, socket, peer),
        Err(error) => debug!(%error, "a connection was lost on its way to its worker"),
    }
}

fn serve(
    worker: &Rc<Worker>,
    bound: &Rc<Bound>,
    listener: LiveListener,
    slot: ConnectionSlot,
    socket: Socket,
    peer: Option<SocketAddr>,
) {
    listener.metrics().of(worker.id()).accepted.increment();
    let worker = Rc::clone(worker);
    let bound = Rc::clone(bound);
    let registration = bound.connections.register();
    let admitted = Admitted { slot, bound, registration, socket, address: peer };
    tokio::task::spawn_local(async move {
        if let Some(client) = admit(&worker, &listener, admitted).await {
            // In its own task, so that the state of the handshake is freed.
            match listener {
                LiveListener::Http(_) => {
                    tokio::task::spawn_local(connection::serve(worker, client))
                }
                LiveListener::Stream(_) => tokio::task::spawn_local(stream::serve(worker, client)),
            };
        }
    });
}

fn is_exhausted(error: &io::Error) -> bool {
    descriptors::is_shortage(error)
        || matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}
