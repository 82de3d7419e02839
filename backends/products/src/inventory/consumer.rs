//! What orders tell: a second net below the calls that orders make themselves.

use serde::Deserialize;
use shop_platform::{BoxFuture, Event, Handler, HandlerError, Transaction};
use uuid::Uuid;

use super::{Inventory, InventoryError};

const CANCELLED: &str = "order.cancelled";
const CONFIRMED: &str = "order.confirmed";

/// Gives back the stock of cancelled orders and sells that of confirmed ones, if nobody has yet.
pub(crate) struct OrderEvents {
    inventory: Inventory,
}

/// All that matters here of either event.
#[derive(Deserialize)]
struct Ended {
    order_id: Uuid,
}

impl OrderEvents {
    pub(crate) const KINDS: &[&str] = &[CANCELLED, CONFIRMED];

    pub(crate) fn new(inventory: Inventory) -> Self {
        Self { inventory }
    }

    async fn apply(
        &self,
        transaction: &mut Transaction,
        event: &Event,
    ) -> Result<(), HandlerError> {
        let Ended { order_id: id } = event.data()?;
        let context = &event.context;
        let applied = match event.kind.as_str() {
            CANCELLED => self.inventory.release_within(transaction, id, context).await,
            CONFIRMED => self.inventory.commit_within(transaction, id, context).await,
            other => return Err(HandlerError::Unusable(format!("{other} was not subscribed to"))),
        };
        match applied {
            Ok(()) => Ok(()),
            Err(InventoryError::Database(error)) => Err(HandlerError::Database(error)),
            Err(InventoryError::Contended) => {
                Err(HandlerError::Later("the reservation is being changed"))
            }
            Err(
                error @ (InventoryError::Released
                | InventoryError::Expired
                | InventoryError::NotHeld),
            ) => {
                // No later delivery would find the stock; a person may.
                tracing::error!(%error, order = %id, "a confirmed order has no stock");
                Ok(())
            }
            Err(
                error @ (InventoryError::UnknownProduct(_)
                | InventoryError::OutOfStock(_)
                | InventoryError::OtherLines
                | InventoryError::MixedCurrencies
                | InventoryError::TooExpensive
                | InventoryError::Lost(_)
                | InventoryError::Books { .. }
                | InventoryError::Stored(_)),
            ) => Err(HandlerError::Unusable(error.to_string())),
        }
    }
}

impl Handler for OrderEvents {
    fn handle<'a>(
        &'a self,
        transaction: &'a mut Transaction,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(self.apply(transaction, event))
    }
}
