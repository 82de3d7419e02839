//! Accepting: from a bound socket to a connection that is being served.
//!
//! Every worker has its own socket of each listener. Knows limits, PROXY protocol headers and TLS;
//! what is spoken above is decided here by the listener's kind and done elsewhere.

mod failed;
mod first;
mod handshake;
mod plain;
mod unserved;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::ProxyProtocol;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use crate::connection::{self, Client, TlsFacts};
use crate::crowd::{Arrival, Crowd, Inbox, Place};
use crate::deadline::{Deadline, jittered};
use crate::descriptors;
use crate::drain::Registration;
use crate::io::{Io, Socket};
use crate::memory::Level;
use crate::observe::counter::WorkerId;
use crate::observe::failure::Failure;
use crate::observe::things::ListenerMetrics;
use crate::peer::PeerText;
use crate::proxy_protocol::{self, Received};
use crate::snapshot::Live;
use crate::sockets::{self, ListenSocket};
use crate::stream;
use crate::worker::{Bound, Worker};

pub use failed::Failed;
pub use unserved::{notice_leaving, notice_tls};

/// How long accepting pauses when the process is out of descriptors: long enough not to spin,
/// short enough to be back within a second.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How often a closing listener tries again for descriptors, to take what is queued.
const LAST_TRIES: u32 = 20;

/// A listening socket of one worker.
pub enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// Makes the socket this runtime's.
    pub(crate) fn new(socket: ListenSocket) -> io::Result<Self> {
        match socket {
            ListenSocket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            ListenSocket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }

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

/// Accepts until the listener retires, then takes what is queued already and closes the socket.
pub async fn accept(worker: Rc<Worker>, bound: Rc<Bound>, acceptor: Acceptor, mut inbox: Inbox) {
    loop {
        tokio::select! {
            biased;
            () = bound.retired() => break,
            Some(arrival) = inbox.recv() => welcome(&worker, &bound, arrival),
            accepted = acceptor.accept() => take(&worker, &bound, accepted).await,
        }
    }
    inbox.close();
    while let Some(arrival) = inbox.recv().await {
        welcome(&worker, &bound, arrival);
    }
    if let Err(error) = take_queued(&worker, &bound, acceptor).await {
        warn!(%error, "a listener was closed with connections that waited");
    }
    bound.close();
}

/// The kernel resets what is queued on a socket that is closed, so all of it is taken first. The
/// runtime may say "not ready" although there is more; the kernel itself is asked here.
async fn take_queued(worker: &Rc<Worker>, bound: &Rc<Bound>, acceptor: Acceptor) -> io::Result<()> {
    enum Bare {
        Tcp(std::net::TcpListener),
        Unix(std::os::unix::net::UnixListener),
    }
    let bare = match acceptor {
        Acceptor::Tcp(listener) => {
            let listener = listener.into_std()?;
            // Else somebody could connect between the last look and the close.
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
            failed::tell_exhausted(worker, bound, &error);
            sleep(EXHAUSTED_PAUSE).await;
            return;
        }
        // The client was gone before it was accepted.
        Err(error) => return debug!(%error, "accept failed"),
    };
    let Some(listener) = worker.current_of(bound).live(bound.id) else { return };
    let over = worker.memory().level() >= Level::Over;
    let limit = listener.most_connections().get();
    let Some(place) = bound.crowd.place(worker.id(), limit).filter(|_| !over) else {
        return failed::tell_refused(worker, bound, &listener, peer, over);
    };
    match Crowd::hand_on(place, socket, peer, worker.id()) {
        Ok(Some((place, socket))) => serve(worker, bound, listener, place, socket, peer),
        Ok(None) => {}
        Err(error) => debug!(%error, "a connection could not be handed to another worker"),
    }
}

/// Takes in what another worker has accepted.
fn welcome(worker: &Rc<Worker>, bound: &Rc<Bound>, arrival: Arrival) {
    let Some(listener) = worker.current_of(bound).live(bound.id) else { return };
    match arrival.unpack() {
        Ok((place, socket, peer)) => serve(worker, bound, listener, place, socket, peer),
        Err(error) => debug!(%error, "a connection was lost on its way to its worker"),
    }
}

fn serve(
    worker: &Rc<Worker>,
    bound: &Rc<Bound>,
    listener: Live,
    place: Place,
    socket: Socket,
    peer: Option<SocketAddr>,
) {
    listener.metrics().of(worker.id()).accepted.increment();
    let worker = Rc::clone(worker);
    let bound = Rc::clone(bound);
    let registration = bound.connections.register();
    let admitted = Admitted { place, bound, registration, socket, address: peer };
    tokio::task::spawn_local(async move {
        if let Some(client) = admit(&worker, &listener, admitted).await {
            // In a task of its own: what the handshake needed does not weigh on a connection.
            match listener {
                Live::Http(_) => tokio::task::spawn_local(connection::serve(worker, client)),
                Live::Stream(_) => tokio::task::spawn_local(stream::serve(worker, client)),
            };
        }
    });
}

/// A connection that is registered from its first moment on, so that a drain waits for it.
struct Admitted {
    place: Place,
    bound: Rc<Bound>,
    registration: Registration,
    socket: Socket,
    address: Option<SocketAddr>,
}

/// What a connection holds of its listener for as long as it lives.
pub struct Held {
    _place: Place,
    _open: Open,
}

/// Counts a connection as open for as long as it lives.
struct Open {
    metrics: Arc<ListenerMetrics>,
    worker: WorkerId,
}

impl Open {
    fn begin(metrics: &Arc<ListenerMetrics>, worker: WorkerId) -> Self {
        metrics.of(worker).active.add(1);
        Self { metrics: Arc::clone(metrics), worker }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.of(self.worker).active.add(-1);
    }
}

/// Learns who the client is and shakes hands, where the listener wants that. `None` when the
/// client is not to be served.
async fn admit(worker: &Worker, listener: &Live, admitted: Admitted) -> Option<Rc<Client>> {
    let Admitted { place, bound, registration, socket, address } = admitted;
    let accepted = Instant::now();
    let metrics = Arc::clone(listener.metrics());
    let open = Open::begin(&metrics, worker.id());
    let Received { socket, ends: told } = match listener.proxy_protocol() {
        (ProxyProtocol::Disabled, _) => Received { socket, ends: None },
        (mode, trust) => {
            let trusted = trust.covers(address.map(|address| address.ip()));
            let until = accepted + listener.head_timeout();
            let header = proxy_protocol::receive(socket, mode, trusted);
            let header = Box::pin(timeout_at(until, header));
            let received = tokio::select! {
                received = header => match received {
                    Ok(received) => received.map_err(|refused| {
                        (failed::of_header(&refused), refused.to_string())
                    }),
                    Err(_) => {
                        let patience = listener.head_timeout();
                        let cause = format!("no whole header came within {patience:?}");
                        Err((Failure::ProxyHeaderTimeout, cause))
                    }
                },
                () = registration.drained() => {
                    let cause = "the listener or the process ends".to_owned();
                    Err((Failure::ProxyHeaderDraining, cause))
                }
            };
            match received {
                Ok(received) => received,
                Err((failure, cause)) => {
                    Failed::new(failure, &metrics, worker.id(), address).tell(cause);
                    return None;
                }
            }
        }
    };
    let address = told.map_or(address, |told| Some(told.source));
    let (io, tls) = match listener.tls() {
        None => (Io::plain(socket), None),
        Some(tls) => {
            let shaken = handshake::shake(socket, tls, listener.handshake_timeout(), &registration);
            let (stream, sni) = match shaken.await {
                Ok(shaken) => shaken,
                Err(handshake::Failed { failure, alert, sni, cause, plain_http }) => {
                    let failed = Failed::new(failure, &metrics, worker.id(), address);
                    Failed { sni: sni.as_deref(), alert, ..failed }.tell(cause);
                    if let Some(socket) = plain_http
                        && matches!(listener, Live::Http(_))
                    {
                        Box::pin(plain::answer(socket, &registration)).await;
                    }
                    return None;
                }
            };
            let (_, session) = stream.get_ref();
            // By the rules of now: the listener may have been configured anew meanwhile.
            let current = worker.current_of(&bound);
            let live = current.live(bound.id);
            let rules = live.as_ref().and_then(Live::tls).unwrap_or(tls);
            let identity = match rules.peer(session) {
                Ok(identity) => identity.map(Rc::new),
                Err(error) => {
                    let failure = handshake::failure_of_peer(&error);
                    let failed = Failed::new(failure, &metrics, worker.id(), address);
                    Failed { sni: sni.as_deref(), ..failed }.tell(error);
                    return None;
                }
            };
            if let Some(identity) = &identity {
                registration.identify(Rc::clone(identity));
            }
            let version = version_name(session.protocol_version());
            (Io::server(stream), Some(Box::new(TlsFacts { sni, version, identity })))
        }
    };
    let ready = Instant::now();
    let deadline = Rc::new(Deadline::at(accepted + listener.head_timeout()));
    if matches!(listener, Live::Http(_)) {
        registration.expose(&deadline);
    }
    Some(Rc::new(Client {
        io,
        address,
        told: told.map(Box::new),
        tls,
        accepted,
        ends_at: listener.max_age().map(|age| accepted + jittered(age, worker.random())),
        handshake: ready - accepted,
        quiet_since: std::cell::Cell::new(ready),
        registration,
        listener: bound,
        deadline,
        patience: listener.patience(),
        listener_name: Arc::clone(listener.name()),
        peer: PeerText::new(address),
        held: Held { _place: place, _open: open },
    }))
}

fn version_name(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    descriptors::is_shortage(error)
        || matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}
