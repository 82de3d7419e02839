//! Each piece that came in is in one place, and what is sold was ordered.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Figures};
use crate::promises::Told;

pub(super) fn check(told: &Told, evidence: &Evidence) -> Vec<String> {
    let mut findings = Vec::new();
    let mut supplied: BTreeMap<&str, i64> = BTreeMap::new();
    for (product, quantity) in told.supplies.values() {
        *supplied.entry(product).or_default() += quantity;
    }
    let mut ordered: BTreeMap<&str, i64> = BTreeMap::new();
    for order in evidence.orders.values().filter(|order| order.state == "confirmed") {
        for (product, quantity) in &order.lines {
            *ordered.entry(product).or_default() += quantity;
        }
    }
    let products = supplied.keys().chain(ordered.keys()).copied();
    let mut products: Vec<&str> =
        products.chain(evidence.stock.keys().map(String::as_str)).collect();
    products.sort_unstable();
    products.dedup();
    for product in products {
        let of = |sums: &BTreeMap<&str, i64>| sums.get(product).copied().unwrap_or_default();
        let (supplied, sold) = (of(&supplied), of(&ordered));
        let right = Figures { supplied, available: supplied - sold, reserved: 0, sold };
        let there = evidence.stock.get(product).copied().unwrap_or_default();
        if there != right {
            findings.push(format!("the stock of {product} is {there:?}, not {right:?}"));
        }
    }
    if evidence.books.stock != evidence.stock {
        let (said, there) = (&evidence.books.stock, &evidence.stock);
        findings.push(format!("the books of stock say {said:?}, not {there:?}"));
    }
    for (id, order) in &evidence.orders {
        let state = evidence.reservations.get(id).map(String::as_str);
        let right = match (order.state.as_str(), state) {
            ("confirmed", state) => state == Some("committed"),
            (_, Some("held" | "committed")) => false,
            (_, _) => true,
        };
        if !right {
            findings.push(format!("order {id} is {}, its reservation {state:?}", order.state));
        }
    }
    let strangers = evidence.reservations.keys().filter(|id| !evidence.orders.contains_key(*id));
    findings.extend(strangers.map(|id| format!("the reservation {id} is of no order")));
    findings
}
