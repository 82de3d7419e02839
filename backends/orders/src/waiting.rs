//! Whoever waits for an order to come to its end, in this process.
//!
//! Orders share a fixed number of bells by their ids: nothing is kept per order, and a bell that
//! rings for another order costs its listeners one look.

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use uuid::Uuid;

const BELLS: usize = 256;

#[derive(Debug)]
pub(crate) struct Waiting {
    bells: Vec<Notify>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { bells: (0..BELLS).map(|_| Notify::new()).collect() }
    }
}

impl Waiting {
    /// Resolves when the order has come to an end after this call; look at it after calling.
    pub(crate) fn ended(&self, order_id: Uuid) -> Notified<'_> {
        self.bell(order_id).notified()
    }

    pub(crate) fn ring(&self, order_id: Uuid) {
        self.bell(order_id).notify_waiters();
    }

    /// The last byte of an id is random.
    fn bell(&self, order_id: Uuid) -> &Notify {
        &self.bells[usize::from(order_id.as_bytes()[15]) % BELLS]
    }
}
