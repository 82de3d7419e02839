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
    /// The generation that serves what is left of a listener that newer ones do not have.
    pub(super) last: RefCell<Option<Rc<Current>>>,
    /// The generation of certificates and lists by which the connections were judged last.
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

    /// Until it retires. For who accepts, alone.
    pub(crate) async fn retired(&self) {
        self.stop.notified().await;
    }

    /// Its socket is closed.
    pub(crate) fn close(&self) {
        self.accepting.set(false);
    }

    /// Ends the connections of clients whose certificates were revoked while they were open.
    pub(super) fn dismiss_revoked(&self, tls: &ServerTls) {
        // Before the judgement: what comes in meanwhile is looked at next time.
        let generation = tls.generation();
        if self.judged.replace(Some(generation)) == Some(generation) {
            return;
        }
        let count = self.connections.dismiss(|peer| tls.is_revoked(peer));
        if count > 0 {
            info!(count, "connections of revoked clients end");
        }
    }

    /// Says when it takes connections again after it was at its limit.
    pub(super) fn log_recovery(&self, listener: &LiveListener) {
        let limit = listener.most_connections().get();
        if let Some(refused) = self.balancer.recovered(limit, Instant::now()) {
            let listener = &**listener.name();
            info!(listener, limit, refused, "connections are taken again: below the limit");
        }
    }

    /// Its socket is closed and so is every connection.
    pub(super) fn has_ended(&self) -> bool {
        !self.accepting.get() && self.connections.count() == 0
    }

    /// Nothing is left but connections whose clients have not heard the goodbye yet.
    pub(super) fn has_only_lingering(&self) -> bool {
        !self.accepting.get() && self.connections.count() == self.connections.lingering()
    }
}
