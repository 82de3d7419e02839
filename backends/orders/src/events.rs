//! What the other services learn of orders.

use serde::Serialize;
use shop_platform::UnixTime;
use shop_platform::event::Event;
use shop_platform::request::RequestContext;
use uuid::Uuid;

use crate::lines::{Money, PricedLine};
use crate::order::{Order, Reason};

const SOURCE: &str = "orders";

#[derive(Serialize)]
struct Placed<'a> {
    order_id: Uuid,
    account_id: Uuid,
    lines: &'a [PricedLine],
    total: &'a Money,
}

#[derive(Serialize)]
struct Confirmed<'a> {
    order_id: Uuid,
    account_id: Uuid,
    total: &'a Money,
}

#[derive(Serialize)]
struct Cancelled {
    order_id: Uuid,
    account_id: Uuid,
    reason: Reason,
    refunded: bool,
}

pub(crate) fn placed(order: &Order, now: UnixTime, context: &RequestContext) -> Event {
    let data = Placed {
        order_id: order.id(),
        account_id: order.account_id(),
        lines: order.lines(),
        total: order.total(),
    };
    Event::new(SOURCE, "order.placed", order.id().to_string(), now, data, context)
}

pub(crate) fn confirmed(order: &Order, now: UnixTime, context: &RequestContext) -> Event {
    let (order_id, account_id) = (order.id(), order.account_id());
    let data = Confirmed { order_id, account_id, total: order.total() };
    Event::new(SOURCE, "order.confirmed", order_id.to_string(), now, data, context)
}

pub(crate) fn cancelled(order: &Order, now: UnixTime, context: &RequestContext) -> Event {
    let (order_id, account_id, refunded) = (order.id(), order.account_id(), order.refunded());
    let reason = order.reason().unwrap_or(Reason::Customer);
    let data = Cancelled { order_id, account_id, reason, refunded };
    Event::new(SOURCE, "order.cancelled", order_id.to_string(), now, data, context)
}
