//! A listener as one worker serves it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::info;

use super::Current;
use crate::connection_balance::ConnectionBalancer;
use crate::drain::Connections;
use crate::snapshot::LiveListener;
use crate::sockets::ListenerId;
use crate::tls::ServerTls;

/// A listener as one worker serves it.
pub struct Bound {
    pub id: ListenerId,
    pub connections: Rc<Connections>,
    /// Its connections over all workers.
    pub balancer: Arc<ConnectionBalancer>,
    /// The last generation that has this listener, once newer ones do not. It serves what is left.
    pub(super) last: RefCell<Option<Rc<Current>>>,
    /// The generation of certificates and revocation lists that connections were last checked against.
    judged: Cell<Option<u64>>,
    stop: Notify,
    accepting: Cell<bool>,
}

impl Bound {
    pub(super) fn new(id: ListenerId, balancer: Arc<ConnectionBalancer>) -> Self {
        Self {
            id,
            connections: Rc::default(),
            balancer,
            last: RefCell::default(),
            judged: Cell::default(),
            stop: Notify::new(),
            accepting: Cell::new(true),
        }
    }

    /// Stops accepting and asks the open connections to end; see [`Connections::drain`].
    pub(super) fn retire(&self, grace: Duration) {
        self.stop.notify_one();
        self.connections.drain(grace);
    }

    /// Ends when the listener retires. Only the accept loop may wait for it.
    pub(crate) async fn retired(&self) {
        self.stop.notified().await;
    }

    /// Notes that the socket is closed.
    pub(crate) fn close(&self) {
        self.accepting.set(false);
    }

    /// Ends the connections of clients whose certificates were revoked while they were open.
    pub(super) fn dismiss_revoked(&self, tls: &ServerTls) {
        // Read before the check: a change that comes meanwhile is handled by the next call.
        let generation = tls.generation();
        if self.judged.replace(Some(generation)) == Some(generation) {
            return;
        }
        let count = self.connections.dismiss(|peer| tls.is_revoked(peer));
        if count > 0 {
            info!(count, "connections of revoked clients end");
        }
    }

    /// Logs that the listener takes connections again after it was at its limit.
    pub(super) fn log_recovery(&self, listener: &LiveListener) {
        let limit = listener.most_connections().get();
        if let Some(refused) = self.balancer.recovered(limit, Instant::now()) {
            let listener = &**listener.name();
            info!(listener, limit, refused, "connections are taken again: below the limit");
        }
    }

    /// Whether the socket and every connection are closed.
    pub(super) fn has_ended(&self) -> bool {
        !self.accepting.get() && self.connections.count() == 0
    }

    /// Whether only lingering connections are left: their last bytes are sent, their clients have not
    /// closed yet.
    pub(super) fn has_only_lingering(&self) -> bool {
        !self.accepting.get() && self.connections.count() == self.connections.lingering()
    }
}
