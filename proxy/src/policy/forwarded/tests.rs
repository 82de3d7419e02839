use std::num::NonZeroU8;

use portcullis_config::model::Trust;

use super::*;
use crate::http1::hypothetical::HypotheticalHead;
use crate::policy::provenance::{CHAIN_ENTRIES, Peer};

struct Case<'a> {
    peer: &'a str,
    tls: bool,
    authority: &'a str,
    trust: Trust,
    lines: &'a [(&'a str, &'a str)],
}

const CASE: Case<'_> = Case {
    peer: "10.0.0.9",
    tls: true,
    authority: "a.example:8443",
    trust: Trust::None,
    lines: &[],
};

const ID: &str = "x-request-id: 00000000-0000-4000-8000-000000000000\n";
const PARENT: &str = "traceparent: 00-00000000000000000000000000000001-0000000000000002-01\n";

fn found(case: &Case<'_>) -> String {
    let headers: Vec<_> =
        case.lines.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let head = HypotheticalHead::try_new("GET", case.authority, "/", None, &headers).unwrap();
    let peer = Peer { address: case.peer.parse().ok(), tls: case.tls };
    let provenance = Provenance::judge(&head.view(), &case.trust, peer, || (1, 2));
    let id = provenance.request_id(&head.view()).unwrap_or(RequestId::from_random(0));
    let view = head.view();
    let forwarded = Forwarded::new(&provenance, &view, case.peer.as_bytes(), &id);
    let mut text = String::new();
    for line in forwarded.lines() {
        let value = line.value.concat();
        let (name, value) = (String::from_utf8_lossy(line.name), String::from_utf8_lossy(&value));
        text.push_str(&format!("{name}: {value}\n"));
    }
    // What stays of the client's own.
    for (name, value) in case.lines {
        if !forwarded.dropped().contains(known(name.as_bytes())) {
            text.push_str(&format!("kept {name}: {value}\n"));
        }
    }
    text
}

fn trusting() -> Case<'static> {
    Case { trust: Trust::Hops(NonZeroU8::MIN), ..CASE }
}

#[test]
fn known_facts_are_forwarded() {
    let expected = "x-forwarded-for: 10.0.0.9\nx-forwarded-proto: https\n\
                    x-forwarded-host: a.example:8443\n";
    assert_eq!(found(&CASE), format!("{expected}{ID}{PARENT}"));
}

#[test]
fn what_is_not_known_is_left_out() {
    let unknown = Case { peer: "", tls: false, authority: "", ..CASE };
    assert_eq!(found(&unknown), format!("x-forwarded-proto: http\n{ID}{PARENT}"));
    let unknown = Case { trust: trusting().trust, ..unknown };
    assert_eq!(found(&unknown), format!("x-forwarded-proto: http\n{ID}{PARENT}"));
}

const CLAIMED: &[(&str, &str)] = &[
    ("X-Forwarded-For", "6.6.6.6, 203.0.113.5"),
    ("x-forwarded-for", "198.51.100.1"),
    ("X_Forwarded_For", "7.7.7.7"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "shop.example"),
    ("x-forwarded-port", "80"),
    ("x-forwarded-prefix", "/a"),
    ("x-forwarded-client-cert", "Subject=\"CN=admin\""),
    ("X_FORWARDED_CLIENT_CERT", "Subject=\"CN=admin\""),
    ("forwarded", "for=8.8.8.8"),
    ("x-real-ip", "9.9.9.9"),
    ("x-request-id", "given"),
    ("x-other", "1"),
];

#[test]
fn claims_of_strangers_change_nothing() {
    let claiming = Case { lines: CLAIMED, ..CASE };
    assert_eq!(found(&claiming), format!("{}kept x-other: 1\n", found(&CASE)));
}

#[test]
fn the_word_of_a_trusted_peer_is_handed_on_with_the_peer_at_its_end() {
    let expected = "x-forwarded-for: 6.6.6.6, 203.0.113.5, 198.51.100.1, 10.0.0.9\n\
                    x-forwarded-proto: http\n\
                    x-forwarded-host: shop.example\n\
                    x-forwarded-port: 80\n\
                    x-request-id: given\n";
    let claiming = Case { lines: CLAIMED, ..trusting() };
    assert_eq!(found(&claiming), format!("{expected}{PARENT}kept x-other: 1\n"));
}

#[test]
fn a_long_chain_loses_its_oldest_entries() {
    let entries: Vec<_> = (0..100).map(|at| format!("203.0.113.{at}")).collect();
    let list = entries.join(",");
    let lines = [("x-forwarded-for", list.as_str())];
    let text = found(&Case { lines: &lines, ..trusting() });
    let sent = text.lines().next().unwrap().strip_prefix("x-forwarded-for: ").unwrap();
    let sent: Vec<_> = sent.split(", ").collect();
    assert_eq!(sent.len(), CHAIN_ENTRIES + 1);
    assert_eq!(sent[..CHAIN_ENTRIES], entries[100 - CHAIN_ENTRIES..]);
    assert_eq!(sent.last(), Some(&"10.0.0.9"));
}

#[test]
fn a_trace_goes_on_or_begins() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let going = [("traceparent", parent), ("tracestate", "a=1"), ("Tracestate", "b=2")];
    let expected = found(&CASE).replace(PARENT, "");
    let kept = format!("kept traceparent: {parent}\nkept tracestate: a=1\nkept Tracestate: b=2\n");
    assert_eq!(found(&Case { lines: &going, ..CASE }), format!("{expected}{kept}"));
    let torn = [("traceparent", parent), ("Traceparent", parent), ("tracestate", "a=1")];
    assert_eq!(found(&Case { lines: &torn, ..CASE }), found(&CASE));
    let long = "x".repeat(513);
    let long = [("traceparent", parent), ("tracestate", long.as_str())];
    let kept = format!("kept traceparent: {parent}\n");
    assert_eq!(found(&Case { lines: &long, ..CASE }), format!("{expected}{kept}"));
}
