//! Every order is one that a customer was told of, and has come to an end.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Evidence, Order};
use crate::promises::Told;

pub(super) fn check(told: &Told, evidence: &Evidence) -> Vec<String> {
    let mut findings = Vec::new();
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, order) in &told.orders {
        keys.entry(order).or_default().push(key);
    }
    for (order, keys) in keys.iter().filter(|(_, keys)| keys.len() > 1) {
        findings.push(format!("order {order} is the answer to {}", keys.join(" and ")));
    }
    let promised: BTreeSet<&str> = keys.into_keys().collect();
    let there: BTreeSet<&str> = evidence.orders.keys().map(String::as_str).collect();
    let lost = promised.difference(&there).map(|order| format!("order {order} is lost"));
    findings.extend(lost);
    let unasked = there.difference(&promised);
    findings.extend(unasked.map(|order| format!("order {order} is one that nobody was told of")));
    if told.accounts != evidence.accounts {
        let (told, there) = (&told.accounts, &evidence.accounts);
        let differ: Vec<&String> = told.symmetric_difference(there).collect();
        findings.push(format!("accounts that were told of are not those there are: {differ:?}"));
    }
    for (id, order) in &evidence.orders {
        findings.extend(ending(order).map(|wrong| format!("order {id} {wrong}")));
    }
    if evidence.books.unfinished != 0 {
        findings.push(format!("the books say that {} sagas go on", evidence.books.unfinished));
    }
    findings
}

fn ending(order: &Order) -> Option<String> {
    let ends = |kind: &str| order.history.iter().filter(|event| *event == kind).count();
    let (confirmed, cancelled) = (ends("confirmed"), ends("cancelled"));
    let right = match order.state.as_str() {
        "confirmed" => confirmed == 1 && cancelled == 0 && order.reason.is_none(),
        "cancelled" => confirmed <= 1 && cancelled == 1 && order.reason.is_some(),
        state => return Some(format!("is {state:?}")),
    };
    (!right).then(|| {
        let Order { state, reason, history, .. } = order;
        format!("is {state} ({reason:?}) after {}", history.join(", "))
    })
}
