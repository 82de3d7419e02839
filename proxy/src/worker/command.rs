//! What a worker may be told by other threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::connection_balance::{ConnectionBalancer, HandoverQueue};
use crate::snapshot::Snapshot;
use crate::sockets::{ListenSocket, ListenerId};

/// What a worker may be told.
pub enum Command {
    Listen {
        id: ListenerId,
        socket: ListenSocket,
        /// What other workers have accepted for this one.
        handover: HandoverQueue,
        balancer: Arc<ConnectionBalancer>,
        /// The generation that brings it.
        snapshot: Arc<Snapshot>,
    },
    /// Stop accepting on a listener and let its connections end.
    Retire(ListenerId),
    /// Retire everything. The answer comes when the last connection has ended, or when patience
    /// has; it says whether nothing was left unsaid.
    Drain { patience: Duration, done: oneshot::Sender<bool> },
}
