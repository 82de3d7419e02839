//! What happened was told, once; and everybody who should have heard of it has, once.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::Evidence;
use crate::promises::Told;
use crate::service::Service;

/// The kinds that a customer is told of.
const NEWS: [&str; 8] = [
    "user.registered",
    "order.placed",
    "order.confirmed",
    "order.cancelled",
    "payment.declined",
    "payment.captured",
    "payment.voided",
    "payment.refunded",
];

pub(super) fn check(told: &Told, evidence: &Evidence) -> Vec<String> {
    let mut findings = happened(told, evidence);
    findings.extend(heard(evidence));
    findings.extend(news(evidence));
    findings
}

/// The events there are against those that must be, by kind and subject.
fn happened(told: &Told, evidence: &Evidence) -> Vec<String> {
    let mut due: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut expect = |kind, subject| *due.entry((kind, subject)).or_default() += 1;
    for account in &evidence.accounts {
        expect("user.registered", account.as_str());
    }
    for (product, _) in told.supplies.values() {
        expect("stock.supplied", product);
    }
    for (id, order) in &evidence.orders {
        for event in &order.history {
            match event.as_str() {
                "placed" => expect("order.placed", id),
                "confirmed" => expect("order.confirmed", id),
                "cancelled" => expect("order.cancelled", id),
                _ => {}
            }
        }
    }
    for (id, payment) in &evidence.payments {
        for kind in of_payment(&payment.state) {
            expect(kind, id);
        }
    }
    for (id, state) in &evidence.reservations {
        for kind in of_reservation(state) {
            expect(kind, id);
        }
    }
    let mut there: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (_, kind, subject) in &evidence.events {
        *there.entry((kind, subject)).or_default() += 1;
    }
    let all: BTreeSet<_> = due.keys().chain(there.keys()).copied().collect();
    let mut findings = Vec::new();
    for key in all {
        let of = |counts: &BTreeMap<_, usize>| counts.get(&key).copied().unwrap_or_default();
        let (due, there, (kind, subject)) = (of(&due), of(&there), key);
        if due != there {
            findings.push(format!("there are {there} events {kind} of {subject}, not {due}"));
        }
    }
    findings
}

/// All that was told on the way to a state.
fn of_payment(state: &str) -> &'static [&'static str] {
    match state {
        "authorized" => &["payment.authorized"],
        "captured" => &["payment.authorized", "payment.captured"],
        "declined" => &["payment.declined"],
        "voided" => &["payment.authorized", "payment.voided"],
        "refunded" => &["payment.authorized", "payment.captured", "payment.refunded"],
        _ => &[],
    }
}

fn of_reservation(state: &str) -> &'static [&'static str] {
    match state {
        "held" => &["stock.reserved"],
        "committed" => &["stock.reserved", "stock.committed"],
        "released" => &["stock.reserved", "stock.released"],
        "expired" => &["stock.reserved", "stock.expired"],
        "returned" => &["stock.reserved", "stock.committed", "stock.returned"],
        _ => &[],
    }
}

/// The inboxes against the events that their groups subscribe to.
fn heard(evidence: &Evidence) -> Vec<String> {
    let mut findings = Vec::new();
    for service in Service::listeners() {
        let is_for_it =
            |kind: &str| service.hears().iter().any(|beginning| kind.starts_with(beginning));
        let due: BTreeSet<&str> = evidence
            .events
            .iter()
            .filter(|(_, kind, _)| is_for_it(kind))
            .map(|(id, ..)| id.as_str())
            .collect();
        let heard: BTreeSet<&str> = match evidence.heard.get(service.name()) {
            Some(heard) => heard.iter().map(String::as_str).collect(),
            None => BTreeSet::new(),
        };
        for (id, kind, subject) in &evidence.events {
            if due.contains(id.as_str()) && !heard.contains(id.as_str()) {
                findings.push(format!("{service} has not heard of {kind} of {subject}"));
            }
        }
        let unknown = heard.difference(&due).count();
        if unknown > 0 {
            findings.push(format!("{service} has heard of {unknown} events that are not there"));
        }
    }
    findings
}

/// The messages, and the letters, against the events that customers are told of.
fn news(evidence: &Evidence) -> Vec<String> {
    let mut findings = Vec::new();
    let mut messages: BTreeMap<&str, usize> = BTreeMap::new();
    for message in &evidence.messages {
        *messages.entry(&message.event).or_default() += 1;
        if message.state != "sent" {
            findings.push(format!("a letter of {} is {}", message.kind, message.state));
        }
    }
    for (id, kind, subject) in &evidence.events {
        let (count, due) = (messages.remove(id.as_str()), NEWS.contains(&kind.as_str()));
        let count = count.unwrap_or_default();
        if count != usize::from(due) {
            findings.push(format!("{count} messages tell of {kind} of {subject}"));
        }
    }
    if !messages.is_empty() {
        findings.push(format!("{} messages tell of what nobody knows", messages.len()));
    }
    if evidence.letters != evidence.messages.len() {
        let (letters, messages) = (evidence.letters, evidence.messages.len());
        findings.push(format!("there are {letters} letters of {messages} messages"));
    }
    findings
}
