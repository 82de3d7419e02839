//! The audit is audited: a shop in which all is well passes, and each kind of wrong is found.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::evidence::{Books, Figures, Message, Order, Payment, Totals};
use crate::service::Service;

const ORDERS: [(&str, &str, &str, &[&str]); 3] = [
    ("o1", "captured", "committed", &["placed", "confirmed"]),
    ("o2", "declined", "released", &["placed", "cancelling", "cancelled"]),
    ("o3", "refunded", "returned", &["placed", "confirmed", "cancelling", "cancelled"]),
];

/// A small shop in which all is well: one account, one order bought, one declined, one refunded.
fn shop() -> (Told, Evidence) {
    let mut told = Told::default();
    told.accounts.insert("a".to_owned());
    told.supplies.insert("supply".to_owned(), ("lamp".to_owned(), 10));
    let mut evidence = Evidence { accounts: told.accounts.clone(), ..Evidence::default() };
    for (id, payment, reservation, history) in ORDERS {
        told.orders.insert(format!("key-{id}"), id.to_owned());
        let confirmed = history.last() == Some(&"confirmed");
        let order = Order {
            account: "a".to_owned(),
            state: if confirmed { "confirmed" } else { "cancelled" }.to_owned(),
            reason: (!confirmed).then(|| "customer".to_owned()),
            refunded: payment == "refunded",
            total: 200,
            currency: "EUR".to_owned(),
            lines: BTreeMap::from([("lamp".to_owned(), 2)]),
            history: history.iter().map(|kind| (*kind).to_owned()).collect(),
        };
        evidence.orders.insert(id.to_owned(), order);
        let state = payment.to_owned();
        let payment = Payment { state, amount: Some(200), currency: Some("EUR".to_owned()) };
        evidence.payments.insert(id.to_owned(), payment);
        evidence.reservations.insert(id.to_owned(), reservation.to_owned());
    }
    let figures = Figures { supplied: 10, available: 8, reserved: 0, sold: 2 };
    evidence.stock.insert("lamp".to_owned(), figures);
    evidence.books = books(&evidence);
    tell(&mut evidence);
    (told, evidence)
}

fn books(evidence: &Evidence) -> Books {
    let totals = Totals { held: 0, captured: 400, refunded: 200, net: 200 };
    let key = |state: &str| (state.to_owned(), "EUR".to_owned());
    Books {
        stock: evidence.stock.clone(),
        money: BTreeMap::from([("EUR".to_owned(), (totals, totals))]),
        orders: BTreeMap::from([(key("confirmed"), (1, 200)), (key("cancelled"), (2, 400))]),
        unfinished: 0,
    }
}

/// Every event there must be, heard by everybody whom it concerns.
fn tell(evidence: &mut Evidence) {
    let events: [(&str, &[&str]); 6] = [
        ("a", &["user.registered"]),
        ("lamp", &["stock.supplied"]),
        ("o1", &["order.placed", "order.confirmed", "payment.authorized", "payment.captured"]),
        ("o2", &["order.placed", "order.cancelled", "payment.declined"]),
        ("o3", &["order.placed", "order.confirmed", "order.cancelled", "payment.authorized"]),
        ("o3", &["payment.captured", "payment.refunded"]),
    ];
    let stock: [(&str, &[&str]); 3] = [
        ("o1", &["stock.reserved", "stock.committed"]),
        ("o2", &["stock.reserved", "stock.released"]),
        ("o3", &["stock.reserved", "stock.committed", "stock.returned"]),
    ];
    for (subject, kinds) in events.into_iter().chain(stock) {
        for kind in kinds {
            happen(evidence, kind, subject);
        }
    }
}

fn happen(evidence: &mut Evidence, kind: &str, subject: &str) {
    let id = format!("{kind} of {subject}");
    evidence.events.insert((id.clone(), kind.to_owned(), subject.to_owned()));
    for service in Service::listeners() {
        if service.hears().iter().any(|beginning| kind.starts_with(beginning)) {
            evidence.heard.entry(service.name().to_owned()).or_default().insert(id.clone());
        }
    }
    let silent = kind.starts_with("stock.") || kind == "payment.authorized";
    if !silent {
        let (account, kind, state) = ("a".to_owned(), kind.to_owned(), "sent".to_owned());
        evidence.messages.push(Message { event: id, account, kind, state });
        evidence.letters += 1;
    }
}

#[test]
fn a_shop_in_which_all_is_well_passes() {
    let (told, evidence) = shop();
    assert_eq!(Audit::judge(&told, &evidence), Vec::<String>::new());
}

/// Breaks one thing; `found` is in what the audit says.
fn check(found: &str, wrong: impl FnOnce(&mut Told, &mut Evidence)) {
    let (mut told, mut evidence) = shop();
    wrong(&mut told, &mut evidence);
    let findings = Audit::judge(&told, &evidence);
    assert!(findings.iter().any(|finding| finding.contains(found)), "{found:?}: {findings:?}");
}

fn order<'a>(evidence: &'a mut Evidence, id: &str) -> &'a mut Order {
    evidence.orders.get_mut(id).unwrap()
}

#[test]
fn what_is_wrong_with_orders_is_found() {
    check("it broke", |told, _| told.broken.push("it broke".to_owned()));
    check("orders ended by itself", |_, evidence| evidence.dead.push(Service::Orders));
    check("order o4 is lost", |told, _| {
        told.orders.insert("key-o4".to_owned(), "o4".to_owned());
    });
    check("order o1 is one that nobody was told of", |told, _| {
        told.orders.remove("key-o1");
    });
    check("order o1 is the answer to again and key-o1", |told, _| {
        told.orders.insert("again".to_owned(), "o1".to_owned());
    });
    check("accounts", |_, evidence| {
        evidence.accounts.insert("b".to_owned());
    });
    check("order o2 is \"cancelling\"", |_, evidence| {
        order(evidence, "o2").state = "cancelling".to_owned();
    });
    check("order o1 is confirmed", |_, evidence| {
        order(evidence, "o1").history.push("confirmed".to_owned());
    });
    check("order o3 is cancelled", |_, evidence| order(evidence, "o3").reason = None);
    check("1 sagas go on", |_, evidence| evidence.books.unfinished = 1);
}

#[test]
fn what_is_wrong_with_stock_is_found() {
    let lamp = |evidence: &mut Evidence, figures| {
        evidence.stock.insert("lamp".to_owned(), figures);
    };
    check("the stock of lamp", |_, evidence| {
        lamp(evidence, Figures { supplied: 10, available: 7, reserved: 1, sold: 2 });
    });
    check("the stock of lamp", |_, evidence| {
        lamp(evidence, Figures { supplied: 20, available: 18, reserved: 0, sold: 2 });
    });
    check("the stock of desk", |told, _| {
        told.supplies.insert("other".to_owned(), ("desk".to_owned(), 1));
    });
    check("the books of stock", |_, evidence| evidence.books.stock = BTreeMap::new());
    check("its reservation Some(\"released\")", |_, evidence| {
        evidence.reservations.insert("o1".to_owned(), "released".to_owned());
    });
    check("its reservation Some(\"held\")", |_, evidence| {
        evidence.reservations.insert("o2".to_owned(), "held".to_owned());
    });
    check("its reservation None", |_, evidence| {
        evidence.reservations.remove("o1");
    });
    check("the reservation o9 is of no order", |_, evidence| {
        evidence.reservations.insert("o9".to_owned(), "tombstone".to_owned());
    });
}

#[test]
fn what_is_wrong_with_money_is_found() {
    let state = |evidence: &mut Evidence, id: &str, state: &str| {
        evidence.payments.get_mut(id).unwrap().state = state.to_owned();
    };
    check("order o1 is confirmed", |_, evidence| state(evidence, "o1", "authorized"));
    check("order o1 is confirmed", |_, evidence| {
        evidence.payments.get_mut("o1").unwrap().amount = Some(199);
    });
    check("order o2 is cancelled", |_, evidence| state(evidence, "o2", "captured"));
    check("order o3 is cancelled", |_, evidence| order(evidence, "o3").refunded = false);
    check("order o2 is cancelled", |_, evidence| order(evidence, "o2").refunded = true);
    check("order o1 is confirmed", |_, evidence| {
        evidence.payments.remove("o1");
    });
    check("the payment of o9 is of no order", |_, evidence| {
        evidence.payments.insert("o9".to_owned(), Payment::default());
    });
    check("the books of orders", |_, evidence| evidence.books.orders.clear());
    check("the processor", |_, evidence| {
        evidence.books.money.get_mut("EUR").unwrap().1.captured = 0;
    });
    check("for orders of 200", |_, evidence| {
        evidence.books.money.get_mut("EUR").unwrap().0.held = 1;
    });
    check("for orders of 200", |_, evidence| evidence.books.money.clear());
}

#[test]
fn what_is_wrong_with_events_is_found() {
    check("2 events order.placed of o1, not 1", |_, evidence| {
        evidence.events.insert(("x".to_owned(), "order.placed".to_owned(), "o1".to_owned()));
    });
    check("0 events stock.returned of o3, not 1", |_, evidence| {
        evidence.events.retain(|(_, kind, _)| kind != "stock.returned");
    });
    check("1 events dead.orders of o1, not 0", |_, evidence| {
        happen(evidence, "dead.orders", "o1");
    });
    check("orders has not heard of payment.captured of o3", |_, evidence| {
        let inbox = evidence.heard.get_mut("orders").unwrap();
        inbox.remove("payment.captured of o3");
    });
    check("products has not heard of order.confirmed of o1", |_, evidence| {
        evidence.heard.remove("products");
    });
    check("has heard of 1 events that are not there", |_, evidence| {
        evidence.heard.get_mut("products").unwrap().insert("x".to_owned());
    });
    check("2 messages tell of order.confirmed of o1", |_, evidence| {
        let message = evidence.messages.iter().find(|message| message.kind == "order.confirmed");
        let twice = message.cloned().unwrap();
        evidence.messages.push(twice);
    });
    check("0 messages tell of user.registered of a", |_, evidence| {
        evidence.messages.retain(|message| message.kind != "user.registered");
    });
    check("1 messages tell of what nobody knows", |_, evidence| {
        evidence.messages[0].event = "x".to_owned();
    });
    check("a letter of user.registered is failed", |_, evidence| {
        evidence.messages[0].state = "failed".to_owned();
    });
    check("there are 0 letters", |_, evidence| evidence.letters = 0);
}

#[test]
fn an_event_that_the_broker_has_twice_is_one_event() {
    let (told, mut evidence) = shop();
    let again: BTreeSet<_> = evidence.events.iter().cloned().collect();
    evidence.events.extend(again);
    assert_eq!(Audit::judge(&told, &evidence), Vec::<String>::new());
}
