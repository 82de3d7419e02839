//! Follows the payments' events: a second way to learn that a payment moved.
//!
//! An event changes nothing by itself. It makes a saga that waits for its payment due at once, and
//! the saga asks the payments service, as it would have a little later. So an event may come twice,
//! late, in any order, or not at all.

use std::sync::Arc;

use serde::Deserialize;
use shop_platform::consumer::{Handler, HandlerError};
use shop_platform::database::Transaction;
use shop_platform::event::Event;
use shop_platform::{BoxFuture, Clock};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::sagas;

pub(crate) const KINDS: &[&str] = &["payment.*"];

pub(crate) struct PaymentEvents {
    pub(crate) clock: Arc<dyn Clock>,
    /// Rings when a saga is due.
    pub(crate) due: Arc<Notify>,
}

/// The part that matters here.
#[derive(Deserialize)]
struct Payment {
    order_id: Uuid,
}

impl Handler for PaymentEvents {
    fn handle<'a>(
        &'a self,
        transaction: &'a mut Transaction,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let Payment { order_id } = event.data()?;
            // Nothing waits for an order that is at its end, or that nobody knows.
            let woken = sagas::wake(transaction, order_id, self.clock.now()).await?;
            tracing::debug!(%order_id, kind = event.kind, woken, "a payment moved");
            Ok(())
        })
    }

    fn committed(&self, _: &Event) {
        self.due.notify_one();
    }
}
