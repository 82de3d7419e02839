//! One customer's view against what was ordered: right ones pass, each kind of wrong is named.

use super::*;
use crate::audit::ledger::{Placed, Wish};
use crate::card::Card;
use crate::documents::{Line, Money};

const ONE: Uuid = Uuid::from_u128(1);
const TWO: Uuid = Uuid::from_u128(2);

fn euros(minor_units: i64) -> Money {
    Money { minor_units, currency: "EUR".to_owned() }
}

fn order(id: Uuid, state: OrderState) -> Order {
    let line = Line { product_id: "lamp".to_owned(), quantity: 2, unit_price: euros(500) };
    Order {
        id,
        state,
        reason: None,
        refunded: false,
        lines: vec![line],
        total: euros(1000),
        complaints: 0,
        version: 2,
    }
}

fn events(kinds: &[&str]) -> Vec<HistoryEvent> {
    let event = |(version, kind): (i64, &&str)| HistoryEvent { version, kind: (*kind).to_owned() };
    (1..).zip(kinds).map(event).collect()
}

fn payment(order_id: Uuid, status: PaymentStatus) -> Payment {
    Payment { order_id, amount: euros(1000), status, decline_code: None }
}

fn told(id: u128, kind: &str, order: Uuid) -> Notification {
    Notification {
        id: Uuid::from_u128(id),
        kind: kind.to_owned(),
        subject: format!("News of order {order} for you"),
    }
}

/// One order that is confirmed, and one that its customer cancelled after that.
fn good() -> (Ledger, Seen) {
    let cancelled = Placed { wish: Wish::Cancelled, ..Placed::new(TWO, Card::Good) };
    let ledger =
        Ledger { placed: vec![Placed::new(ONE, Card::Good), cancelled], ..Default::default() };
    let two = Order {
        reason: Some("customer".to_owned()),
        refunded: true,
        version: 4,
        ..order(TWO, OrderState::Cancelled)
    };
    let notifications = vec![
        told(1, WELCOME, Uuid::nil()),
        told(2, "order.placed", ONE),
        told(3, "payment.captured", ONE),
        told(4, "order.confirmed", ONE),
        told(5, "order.placed", TWO),
        told(6, "payment.captured", TWO),
        told(7, "order.confirmed", TWO),
        told(8, "payment.refunded", TWO),
        told(9, "order.cancelled", TWO),
    ];
    let seen = Seen {
        orders: vec![two, order(ONE, OrderState::Confirmed)],
        histories: BTreeMap::from([
            (ONE, events(&["placed", "confirmed"])),
            (TWO, events(&["placed", "confirmed", "cancelling", "cancelled"])),
        ]),
        payments: vec![
            payment(ONE, PaymentStatus::Captured),
            payment(TWO, PaymentStatus::Refunded),
        ],
        feed: Some(notifications[1..].to_vec()),
        notifications,
    };
    (ledger, seen)
}

#[test]
fn what_is_right_is_right() {
    let (ledger, seen) = good();
    assert_eq!(check(&ledger, &seen, false), []);
    let without_feed = Seen { feed: None, ..seen };
    assert_eq!(check(&ledger, &without_feed, false), []);
    let mut nobody = Seen { notifications: vec![told(1, WELCOME, ONE)], ..Default::default() };
    assert_eq!(check(&Ledger::default(), &nobody, false), []);
    nobody.notifications.clear();
    assert_eq!(check(&Ledger::default(), &nobody, false), [Wrong::Welcomed(0)]);
}

/// Each change of what is right is noticed, as exactly this.
#[test]
fn whatever_does_not_fit_is_named() {
    let check = |spoil: &dyn Fn(&mut Ledger, &mut Seen), expected: &[Wrong]| {
        let (mut ledger, mut seen) = good();
        spoil(&mut ledger, &mut seen);
        assert_eq!(super::check(&ledger, &seen, false), expected);
    };
    let three = Uuid::from_u128(3);
    check(&|ledger, _| ledger.placed.push(Placed::new(three, Card::Good)), &[Wrong::Lost(three)]);
    check(
        &|ledger, _| {
            ledger.placed.remove(0);
        },
        &[Wrong::NeverPlaced(ONE)],
    );
    check(
        &|ledger, _| {
            ledger.placed.remove(0);
            ledger.doubtful = 1;
        },
        &[],
    );
    check(
        &|ledger, _| ledger.placed.push(Placed::new(ONE, Card::Good)),
        &[Wrong::SharedOrder(ONE)],
    );
    check(
        &|_, seen| seen.orders.push(order(ONE, OrderState::Confirmed)),
        &[Wrong::ListedTwice(ONE)],
    );
    check(
        &|ledger, _| ledger.placed[0].wish = Wish::Cancelled,
        &[Wrong::End { id: ONE, fault: EndFault::NotCancelled }],
    );
    check(&|ledger, _| ledger.placed[0].complaints = 1, &[Wrong::Complaints(ONE)]);
    check(&|_, seen| seen.orders[1].version = 3, &[Wrong::History(ONE)]);
    check(
        &|_, seen| {
            seen.orders[1].version = 3;
            seen.histories.insert(ONE, events(&["placed", "confirmed", "confirmed"]));
        },
        &[Wrong::Happened { id: ONE, kind: "confirmed", times: 2 }],
    );
    check(&|_, seen| seen.orders[1].lines[0].quantity = 3, &[Wrong::Sum(ONE)]);
    check(
        &|_, seen| seen.payments.push(payment(ONE, PaymentStatus::Captured)),
        &[Wrong::PaidTwice(ONE)],
    );
    check(
        &|_, seen| seen.payments.push(payment(three, PaymentStatus::Captured)),
        &[Wrong::PaymentForNothing(three)],
    );
    check(&|_, seen| seen.payments[0].amount = euros(999), &[Wrong::Amount(ONE)]);
    let refunded = Wrong::Money {
        id: TWO,
        state: OrderState::Cancelled,
        status: Some(PaymentStatus::Refunded),
    };
    check(&|_, seen| seen.orders[0].refunded = false, &[refunded]);
}

#[test]
fn news_come_exactly_once() {
    let check = |spoil: &dyn Fn(&mut Seen), expected: &[Wrong]| {
        let (ledger, mut seen) = good();
        seen.feed = None;
        spoil(&mut seen);
        assert_eq!(super::check(&ledger, &seen, false), expected);
    };
    let wrong = |kind: &str, times, expected| Wrong::Told {
        id: ONE,
        kind: kind.to_owned(),
        times,
        expected,
    };
    check(&|seen| drop(seen.notifications.remove(3)), &[wrong("order.confirmed", 0, 1)]);
    check(
        &|seen| seen.notifications.push(told(10, "order.confirmed", ONE)),
        &[wrong("order.confirmed", 2, 1)],
    );
    check(
        &|seen| seen.notifications.push(told(10, "order.cancelled", ONE)),
        &[wrong("order.cancelled", 1, 0)],
    );
    check(&|seen| seen.notifications.push(told(10, WELCOME, ONE)), &[Wrong::Welcomed(2)]);
}

#[test]
fn the_feed_tells_what_the_list_has() {
    let check = |spoil: &dyn Fn(&mut Vec<Notification>), times, expected| {
        let (ledger, mut seen) = good();
        spoil(seen.feed.as_mut().unwrap());
        let id = Uuid::from_u128(4);
        let kind = "order.confirmed".to_owned();
        let wrong = [Wrong::FeedTold { id, kind, times, expected }];
        assert_eq!(super::check(&ledger, &seen, false), wrong);
    };
    check(&|feed| drop(feed.remove(2)), 0, 1);
    check(&|feed| feed.push(feed[2].clone()), 2, 1);
}
