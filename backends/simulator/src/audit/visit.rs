//! One customer's orders, payments and news against each other, and against what it did.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::audit::end::{self, EndFault};
use crate::audit::ledger::Ledger;
use crate::audit::notices::{self, Counts, WELCOME};
use crate::documents::{HistoryEvent, Notification, Order, OrderState, Payment, PaymentStatus};

/// What the shop says of one customer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) orders: Vec<Order>,
    pub(crate) histories: BTreeMap<Uuid, Vec<HistoryEvent>>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) notifications: Vec<Notification>,
    /// What its feed told, for those who held one from the beginning.
    pub(crate) feed: Option<Vec<Notification>>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("order {0} was placed and is not there")]
    Lost(Uuid),
    #[error("order {0} is there and was never placed")]
    NeverPlaced(Uuid),
    #[error("order {0} is listed more than once")]
    ListedTwice(Uuid),
    #[error("two requests with different keys came back as order {0}")]
    SharedOrder(Uuid),
    #[error("order {id}: {fault}")]
    End { id: Uuid, fault: EndFault },
    #[error("order {0}: its history has a gap, a repetition, or another length than its version")]
    History(Uuid),
    #[error("order {id}: {kind} happened {times} times")]
    Happened { id: Uuid, kind: &'static str, times: usize },
    #[error("order {0}: its lines do not add up to its total")]
    Sum(Uuid),
    #[error("order {0} has more than one payment")]
    PaidTwice(Uuid),
    #[error("there is a payment for order {0}, which is not there")]
    PaymentForNothing(Uuid),
    #[error("order {0} has a payment of another amount")]
    Amount(Uuid),
    #[error("order {id} is {state:?} and its payment is {status:?}")]
    Money { id: Uuid, state: OrderState, status: Option<PaymentStatus> },
    #[error("order {0} has more or fewer complaints than were filed")]
    Complaints(Uuid),
    #[error("order {id}: told {times} times of {kind}, not {expected}")]
    Told { id: Uuid, kind: String, times: usize, expected: usize },
    #[error("welcomed {0} times")]
    Welcomed(usize),
    #[error("the feed told {times} times of notification {id} ({kind}), not {expected}")]
    FeedTold { id: Uuid, kind: String, times: usize, expected: usize },
}

/// Everything that does not fit.
pub(crate) fn check(ledger: &Ledger, seen: &Seen, outages: bool) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    presence(ledger, seen, &mut wrong);
    for order in &seen.orders {
        let id = order.id;
        if let Some(placed) = ledger.find(id) {
            if let Err(fault) = end::judge(placed, order, outages) {
                wrong.push(Wrong::End { id, fault });
            }
            if placed.complaints != order.complaints {
                wrong.push(Wrong::Complaints(id));
            }
        }
        history(order, seen.histories.get(&id).map_or(&[][..], Vec::as_slice), &mut wrong);
        money(order, &payments_of(seen, id), &mut wrong);
    }
    let known: BTreeSet<Uuid> = seen.orders.iter().map(|order| order.id).collect();
    let orphans = seen.payments.iter().filter(|payment| !known.contains(&payment.order_id));
    wrong.extend(orphans.map(|payment| Wrong::PaymentForNothing(payment.order_id)));
    news(seen, &mut wrong);
    feed(seen, &mut wrong);
    wrong
}

/// None lost, none twice.
fn presence(ledger: &Ledger, seen: &Seen, wrong: &mut Vec<Wrong>) {
    let listed = counted(seen.orders.iter().map(|order| order.id));
    let placed = counted(ledger.placed.iter().map(|placed| placed.id));
    let twice = |counts: &BTreeMap<Uuid, usize>, what: fn(Uuid) -> Wrong| -> Vec<Wrong> {
        counts.iter().filter(|(_, times)| **times > 1).map(|(id, _)| what(*id)).collect()
    };
    wrong.extend(twice(&listed, Wrong::ListedTwice));
    wrong.extend(twice(&placed, Wrong::SharedOrder));
    let lost = placed.keys().filter(|id| !listed.contains_key(id));
    wrong.extend(lost.map(|id| Wrong::Lost(*id)));
    // As many as are in doubt may be there.
    let extra = listed.keys().filter(|id| !placed.contains_key(id)).skip(ledger.doubtful);
    wrong.extend(extra.map(|id| Wrong::NeverPlaced(*id)));
}

fn history(order: &Order, events: &[HistoryEvent], wrong: &mut Vec<Wrong>) {
    let id = order.id;
    let whole = (1..=order.version).eq(events.iter().map(|event| event.version));
    if !whole {
        wrong.push(Wrong::History(id));
    }
    let ended = usize::from(order.state == OrderState::Cancelled);
    let expected = [("placed", 1, 1), ("cancelled", ended, ended), ("confirmed", 0, 1)];
    for (kind, least, most) in expected {
        let times = events.iter().filter(|event| event.kind == kind).count();
        if !(least..=most).contains(&times) {
            wrong.push(Wrong::Happened { id, kind, times });
        }
    }
    let sum = order.lines.iter().try_fold(0_i64, |sum, line| {
        let same = line.unit_price.currency == order.total.currency;
        let price = line.unit_price.minor_units.checked_mul(i64::from(line.quantity))?;
        sum.checked_add(price).filter(|_| same)
    });
    if sum != Some(order.total.minor_units) {
        wrong.push(Wrong::Sum(id));
    }
}

/// Captured if it is confirmed, nothing left if it is cancelled.
fn money(order: &Order, payments: &[&Payment], wrong: &mut Vec<Wrong>) {
    let id = order.id;
    if payments.len() > 1 {
        wrong.push(Wrong::PaidTwice(id));
    }
    let payment = payments.first();
    if payment.is_some_and(|payment| payment.amount != order.total) {
        wrong.push(Wrong::Amount(id));
    }
    let status = payment.map(|payment| payment.status);
    let fits = match (order.state, status) {
        // Nothing can be said of what is under way.
        (OrderState::Pending | OrderState::Cancelling, _) => true,
        (OrderState::Confirmed, status) => status == Some(PaymentStatus::Captured),
        (OrderState::Cancelled, Some(PaymentStatus::Refunded)) => order.refunded,
        (OrderState::Cancelled, None | Some(PaymentStatus::Declined | PaymentStatus::Voided)) => {
            !order.refunded
        }
        (OrderState::Cancelled, Some(_)) => false,
    };
    if !fits {
        wrong.push(Wrong::Money { id, state: order.state, status });
    }
}

fn news(seen: &Seen, wrong: &mut Vec<Wrong>) {
    let welcomed = seen.notifications.iter().filter(|told| told.kind == WELCOME).count();
    if welcomed != 1 {
        wrong.push(Wrong::Welcomed(welcomed));
    }
    let mut expected = Counts::new();
    for order in &seen.orders {
        let history = seen.histories.get(&order.id).map_or(&[][..], Vec::as_slice);
        let was_confirmed = history.iter().any(|event| event.kind == "confirmed");
        let payment = payments_of(seen, order.id).first().copied();
        expected.extend(notices::expected(order, was_confirmed, payment));
    }
    for ((id, kind), times, expected) in differences(&notices::told(&seen.notifications), &expected)
    {
        let kind = kind.to_owned();
        wrong.push(Wrong::Told { id, kind, times, expected });
    }
}

/// The feed told of each notification once, but for the welcome, behind which it begins.
fn feed(seen: &Seen, wrong: &mut Vec<Wrong>) {
    let Some(feed) = &seen.feed else { return };
    let count = |list: &[Notification]| {
        counted(list.iter().filter(|told| told.kind != WELCOME).map(|told| told.id))
    };
    let kinds: BTreeMap<Uuid, &str> =
        seen.notifications.iter().chain(feed).map(|told| (told.id, told.kind.as_str())).collect();
    for (id, times, expected) in differences(&count(feed), &count(&seen.notifications)) {
        let kind = kinds.get(&id).copied().unwrap_or_default().to_owned();
        wrong.push(Wrong::FeedTold { id, kind, times, expected });
    }
}

fn payments_of(seen: &Seen, order: Uuid) -> Vec<&Payment> {
    seen.payments.iter().filter(|payment| payment.order_id == order).collect()
}

fn counted<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    items.fold(BTreeMap::new(), |mut counts, item| {
        *counts.entry(item).or_default() += 1;
        counts
    })
}

/// Where two counts differ: what is counted, how often it is, how often it should be.
fn differences<T: Ord + Copy>(
    found: &BTreeMap<T, usize>,
    expected: &BTreeMap<T, usize>,
) -> Vec<(T, usize, usize)> {
    let keys: BTreeSet<T> = found.keys().chain(expected.keys()).copied().collect();
    let of = |counts: &BTreeMap<T, usize>, key: &T| counts.get(key).copied().unwrap_or(0);
    keys.into_iter()
        .map(|key| (key, of(found, &key), of(expected, &key)))
        .filter(|(_, found, expected)| found != expected)
        .collect()
}

#[cfg(test)]
mod tests;
