//! How a worker retires listeners and drains.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, interval};

use super::Worker;
use crate::sockets::ListenerId;

/// How long a draining connection may still begin a request.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

impl Worker {
    /// Stops accepting on a listener and lets its connections end.
    pub(crate) fn retire(&self, id: ListenerId) {
        // The generation without the listener is published already. This keeps the one before it.
        self.current();
        for bound in self.listeners.borrow().iter().filter(|bound| bound.id == id) {
            bound.retire(DRAIN_GRACE);
        }
    }

    /// Retires everything; see [`Command::Drain`](super::Command::Drain).
    pub(crate) fn drain(self: &Rc<Self>, patience: Duration, done: oneshot::Sender<bool>) {
        let grace = DRAIN_GRACE.min(patience / 2);
        for bound in &*self.listeners.borrow() {
            bound.connections.limit(patience);
            bound.retire(grace);
        }
        tokio::task::spawn_local(drained(Rc::clone(self), patience, done));
    }
}

/// Answers when the connections of all listeners have ended, or when `patience` has passed.
async fn drained(worker: Rc<Worker>, patience: Duration, done: oneshot::Sender<bool>) {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let patience = Instant::now() + patience;
    let mut ticks = interval(LOOK_EVERY);
    let whole = loop {
        ticks.tick().await;
        let listeners = worker.listeners.borrow();
        if listeners.iter().all(|bound| bound.has_ended()) {
            break true;
        }
        if Instant::now() >= patience {
            break listeners.iter().all(|bound| bound.has_only_lingering());
        }
    };
    worker.log.flush();
    // The receiver is gone if the control loop has stopped waiting.
    let _ = done.send(whole);
}
