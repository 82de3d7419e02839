//! From an accepted socket to a client: the PROXY protocol header and the TLS handshake, each within
//! its deadline.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use portcullis_config::model::ProxyProtocol;
use tokio::time::{Instant, timeout_at};

use super::{handshake, plain, refused};
use crate::client::{Client, ConnectionGuard, TlsFacts};
use crate::connection_balance::ConnectionSlot;
use crate::deadline::{Deadline, jittered};
use crate::drain::Registration;
use crate::io::{Io, Socket};
use crate::observe::failure::Failure;
use crate::peer::PeerText;
use crate::proxy_protocol::{self, Received};
use crate::snapshot::LiveListener;
use crate::unserved::{ConnectionFailure, failure_of_peer};
use crate::worker::{Bound, Worker};

/// An accepted connection. It is registered at once, so that a drain waits for it.
pub(super) struct Admitted {
    pub(super) slot: ConnectionSlot,
    pub(super) bound: Rc<Bound>,
    pub(super) registration: Registration,
    pub(super) socket: Socket,
    pub(super) address: Option<SocketAddr>,
}

/// Reads the PROXY protocol header and does the TLS handshake, if the listener has them. `None` when
/// the client must not be served.
pub(super) async fn admit(
    worker: &Worker,
    listener: &LiveListener,
    admitted: Admitted,
) -> Option<Rc<Client>> {
    let Admitted { slot, bound, registration, socket, address } = admitted;
    let accepted = Instant::now();
    let metrics = Arc::clone(listener.metrics());
    let held = ConnectionGuard::begin(slot, &metrics, worker.id());
    let Received { socket, ends: proxy_header } = match listener.proxy_protocol() {
        (ProxyProtocol::Disabled, _) => Received { socket, ends: None },
        (mode, trust) => {
            let trusted = trust.covers(address.map(|address| address.ip()));
            let until = accepted + listener.head_timeout();
            let header = proxy_protocol::receive(socket, mode, trusted);
            let header = Box::pin(timeout_at(until, header));
            let received = tokio::select! {
                received = header => match received {
                    Ok(received) => received.map_err(|refused| {
                        (refused::of_header(&refused), refused.to_string())
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
                    ConnectionFailure::new(failure, &metrics, worker.id(), address).report(cause);
                    return None;
                }
            }
        }
    };
    let address = proxy_header.map_or(address, |proxy_header| Some(proxy_header.source));
    let (io, tls) = match listener.tls() {
        None => (Io::plain(socket), None),
        Some(tls) => {
            let shaken = handshake::shake(socket, tls, listener.handshake_timeout(), &registration);
            let (stream, sni) = match shaken.await {
                Ok(shaken) => shaken,
                Err(handshake::HandshakeFailure { failure, alert, sni, cause, plain_http }) => {
                    let failed = ConnectionFailure::new(failure, &metrics, worker.id(), address);
                    ConnectionFailure { sni: sni.as_deref(), alert, ..failed }.report(cause);
                    if let Some(socket) = plain_http
                        && matches!(listener, LiveListener::Http(_))
                    {
                        Box::pin(plain::answer(socket, &registration)).await;
                    }
                    return None;
                }
            };
            let (_, session) = stream.get_ref();
            // By the current rules: the listener may have been reloaded during the handshake.
            let current = worker.current_of(&bound);
            let live = current.live(bound.id);
            let rules = live.as_ref().and_then(LiveListener::tls).unwrap_or(tls);
            let identity = match rules.peer(session) {
                Ok(identity) => identity.map(Rc::new),
                Err(error) => {
                    let failure = failure_of_peer(&error);
                    let failed = ConnectionFailure::new(failure, &metrics, worker.id(), address);
                    ConnectionFailure { sni: sni.as_deref(), ..failed }.report(error);
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
    if matches!(listener, LiveListener::Http(_)) {
        registration.expose(&deadline);
    }
    Some(Rc::new(Client {
        io,
        address,
        proxy_header: proxy_header.map(Box::new),
        tls,
        accepted,
        ends_at: listener.max_age().map(|age| accepted + jittered(age, worker.random())),
        handshake: ready - accepted,
        quiet_since: Cell::new(ready),
        registration,
        listener: bound,
        deadline,
        patience: listener.patience(),
        listener_name: Arc::clone(listener.name()),
        peer: PeerText::new(address),
        held,
    }))
}

fn version_name(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    }
}
