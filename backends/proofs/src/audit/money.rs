//! Confirmed orders are paid, in full and once; cancelled ones have cost nothing.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Order, Payment, Totals};

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut findings = Vec::new();
    for (id, order) in &evidence.orders {
        let payment = evidence.payments.get(id);
        if !is_right(order, payment) {
            let Order { state, refunded, total, currency, .. } = order;
            findings.push(format!(
                "order {id} is {state} (refunded: {refunded}) at {total} {currency}, its payment \
                 {payment:?}"
            ));
        }
    }
    let strangers = evidence.payments.keys().filter(|id| !evidence.orders.contains_key(*id));
    findings.extend(strangers.map(|id| format!("the payment of {id} is of no order")));
    findings.extend(sums(evidence));
    findings
}

fn is_right(order: &Order, payment: Option<&Payment>) -> bool {
    let state = payment.map_or("none", |payment| &payment.state);
    match order.state.as_str() {
        "confirmed" => payment.is_some_and(|payment| {
            state == "captured"
                && payment.amount == Some(order.total)
                && payment.currency.as_deref() == Some(order.currency.as_str())
        }),
        _ => match state {
            "refunded" => order.refunded,
            "none" | "declined" | "voided" | "tombstone" => !order.refunded,
            _ => false,
        },
    }
}

/// The same by sums, as the services keep them.
fn sums(evidence: &Evidence) -> Vec<String> {
    let mut findings = Vec::new();
    let mut paid: BTreeMap<&str, i64> = BTreeMap::new();
    let mut counted: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
    for order in evidence.orders.values() {
        let sum = counted.entry((&order.state, &order.currency)).or_default();
        *sum = (sum.0 + 1, sum.1 + order.total);
        if order.state == "confirmed" {
            *paid.entry(&order.currency).or_default() += order.total;
        }
    }
    let said = evidence.books.orders.iter();
    let said: BTreeMap<(&str, &str), (i64, i64)> =
        said.map(|((state, currency), sum)| ((state.as_str(), currency.as_str()), *sum)).collect();
    if said != counted {
        findings.push(format!("the books of orders say {said:?}, not {counted:?}"));
    }
    for (currency, (payments, processor)) in &evidence.books.money {
        if payments != processor {
            findings
                .push(format!("payments say {payments:?} {currency}, the processor {processor:?}"));
        }
    }
    let currencies = paid.keys().copied().chain(evidence.books.money.keys().map(String::as_str));
    let mut currencies: Vec<&str> = currencies.collect();
    currencies.sort_unstable();
    currencies.dedup();
    for currency in currencies {
        let due = paid.get(currency).copied().unwrap_or_default();
        let books = evidence.books.money.get(currency).map(|books| books.0);
        let Totals { held, captured, refunded, net } = books.unwrap_or_default();
        if held != 0 || captured - refunded != due || net != due {
            findings.push(format!(
                "{captured} - {refunded} {currency} were taken and {held} are held, for orders \
                 of {due}"
            ));
        }
    }
    findings
}
