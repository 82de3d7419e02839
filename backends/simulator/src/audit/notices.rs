//! What a customer must have been told: one notification for each thing that happened, no more and
//! no less.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::documents::{Notification, Order, OrderState, Payment, PaymentStatus};

pub(crate) const WELCOME: &str = "user.registered";

/// How often an order was told of, by the event's kind.
pub(crate) type Counts<'a> = BTreeMap<(Uuid, &'a str), usize>;

/// What follows from an order, and from the payment for it.
pub(crate) fn expected<'a>(
    order: &Order,
    was_confirmed: bool,
    payment: Option<&Payment>,
) -> Counts<'a> {
    let of_payment: &[&str] = match payment.map(|payment| payment.status) {
        None | Some(PaymentStatus::Authorizing | PaymentStatus::Authorized) => &[],
        Some(PaymentStatus::Captured) => &["payment.captured"],
        Some(PaymentStatus::Declined) => &["payment.declined"],
        Some(PaymentStatus::Voided) => &["payment.voided"],
        Some(PaymentStatus::Refunded) => &["payment.captured", "payment.refunded"],
    };
    let confirmed = was_confirmed.then_some("order.confirmed");
    let cancelled = (order.state == OrderState::Cancelled).then_some("order.cancelled");
    ["order.placed"]
        .into_iter()
        .chain(confirmed)
        .chain(cancelled)
        .chain(of_payment.iter().copied())
        .map(|kind| ((order.id, kind), 1))
        .collect()
}

/// What was told of orders. What names no order is counted under the nil id, where nothing is
/// expected.
pub(crate) fn told(notifications: &[Notification]) -> Counts<'_> {
    let mut counts = Counts::new();
    for told in notifications.iter().filter(|told| told.kind != WELCOME) {
        let order = told.order().unwrap_or(Uuid::nil());
        *counts.entry((order, told.kind.as_str())).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Money;

    #[test]
    fn what_happened_is_told_once() {
        let order = |state| Order {
            id: Uuid::from_u128(7),
            state,
            reason: None,
            refunded: false,
            lines: Vec::new(),
            total: Money { minor_units: 5, currency: "EUR".to_owned() },
            complaints: 0,
            version: 1,
        };
        let check = |state, was_confirmed, status: Option<PaymentStatus>, kinds: &[&str]| {
            let payment = status.map(|status| Payment {
                order_id: Uuid::from_u128(7),
                amount: Money { minor_units: 5, currency: "EUR".to_owned() },
                status,
                decline_code: None,
            });
            let found = expected(&order(state), was_confirmed, payment.as_ref());
            let kinds: Counts<'_> =
                kinds.iter().map(|kind| ((Uuid::from_u128(7), *kind), 1)).collect();
            assert_eq!(found, kinds, "{state:?} {status:?}");
        };
        use OrderState::{Cancelled, Confirmed, Pending};
        use PaymentStatus::{Authorized, Captured, Declined, Refunded, Voided};
        let (placed, confirmed, cancelled) = ("order.placed", "order.confirmed", "order.cancelled");
        check(Pending, false, None, &[placed]);
        check(Pending, false, Some(Authorized), &[placed]);
        check(Confirmed, true, Some(Captured), &[placed, confirmed, "payment.captured"]);
        check(Cancelled, false, None, &[placed, cancelled]);
        check(Cancelled, false, Some(Declined), &[placed, cancelled, "payment.declined"]);
        check(Cancelled, false, Some(Voided), &[placed, cancelled, "payment.voided"]);
        check(
            Cancelled,
            false,
            Some(Refunded),
            &[placed, cancelled, "payment.captured", "payment.refunded"],
        );
        check(
            Cancelled,
            true,
            Some(Refunded),
            &[placed, confirmed, cancelled, "payment.captured", "payment.refunded"],
        );
    }

    #[test]
    fn notifications_are_counted_by_order_and_kind() {
        let notification = |kind: &str, subject: String| Notification {
            id: Uuid::from_u128(1),
            kind: kind.to_owned(),
            subject,
        };
        let order = Uuid::from_u128(7);
        let list = [
            notification(WELCOME, "Welcome to the shop".to_owned()),
            notification("order.placed", format!("We have your order {order}")),
            notification("order.placed", format!("We have your order {order}")),
            notification("order.lost", "Sorry".to_owned()),
        ];
        let expected =
            Counts::from([((order, "order.placed"), 2), ((Uuid::nil(), "order.lost"), 1)]);
        assert_eq!(told(&list), expected);
    }
}
