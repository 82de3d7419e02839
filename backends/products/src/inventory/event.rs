//! What the rest of the shop learns of the stock: events in the outbox, committed with the change.

use serde::Serialize;
use shop_platform::{Event, RequestContext, Transaction, UnixTime, outbox};
use uuid::Uuid;

use super::Lines;
use crate::product_id::ProductId;

const SOURCE: &str = "products";

/// What has happened to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reserved,
    Committed,
    Released,
    Expired,
    Returned,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Reserved => "stock.reserved",
            Self::Committed => "stock.committed",
            Self::Released => "stock.released",
            Self::Expired => "stock.expired",
            Self::Returned => "stock.returned",
        }
    }
}

#[derive(Serialize)]
struct Changed<'a> {
    reservation_id: Uuid,
    lines: Vec<ChangedLine<'a>>,
}

#[derive(Serialize)]
struct ChangedLine<'a> {
    product_id: &'a ProductId,
    quantity: i64,
}

pub(crate) async fn add(
    transaction: &mut Transaction,
    kind: Kind,
    id: Uuid,
    lines: &Lines,
    now: UnixTime,
    context: &RequestContext,
) -> Result<(), sqlx::Error> {
    let lines = lines.iter().map(|(product_id, quantity)| ChangedLine { product_id, quantity });
    let data = Changed { reservation_id: id, lines: lines.collect() };
    let event = Event::new(SOURCE, kind.name(), id.to_string(), now, data, context);
    outbox::add(transaction, &event).await
}

#[derive(Serialize)]
struct Supplied<'a> {
    product_id: &'a ProductId,
    quantity: i64,
}

/// Its subject is the product: there is no reservation in it.
pub(crate) async fn add_supplied(
    transaction: &mut Transaction,
    product_id: &ProductId,
    quantity: i64,
    now: UnixTime,
    context: &RequestContext,
) -> Result<(), sqlx::Error> {
    let data = Supplied { product_id, quantity };
    let event = Event::new(SOURCE, "stock.supplied", product_id.as_str(), now, data, context);
    outbox::add(transaction, &event).await
}
