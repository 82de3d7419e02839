//! The commands that other threads send to a worker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::connection_balance::{ConnectionBalancer, HandoverQueue};
use crate::snapshot::Snapshot;
use crate::sockets::{ListenSocket, ListenerId};

/// A command to a worker.
pub enum Command {
    Listen {
        id: ListenerId,
        socket: ListenSocket,
        /// Connections that other workers have accepted for this one.
        handover: HandoverQueue,
        balancer: Arc<ConnectionBalancer>,
        /// The generation that introduces the listener.
        snapshot: Arc<Snapshot>,
    },
    /// Stop accepting on a listener and let its connections end.
    Retire(ListenerId),
    /// Retire every listener. `done` is answered when the last connection has ended or `patience` has
    /// passed; true if every response was sent to its end.
    Drain { patience: Duration, done: oneshot::Sender<bool> },
}
