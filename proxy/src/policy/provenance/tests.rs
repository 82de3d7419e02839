use std::num::NonZeroU8;

use portcullis_config::model::Trust;
use proptest::prelude::*;

use super::*;
use crate::http1::hypothetical::HypotheticalHead;

const PEER: &str = "10.0.0.9";

fn proxies() -> Trust {
    let networks = ["10.0.0.0/8", "192.0.2.128/25", "fd00::/8"];
    Trust::Proxies(portcullis_config::networks::Networks::new(
        networks.iter().map(|network| network.parse().unwrap()).collect(),
    ))
}

fn hops(count: u8) -> Trust {
    Trust::Hops(NonZeroU8::new(count).unwrap())
}

/// A head with these header lines.
fn head(lines: &[&str]) -> HypotheticalHead {
    let headers: Vec<_> = lines
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    HypotheticalHead::try_new("GET", "shop.example", "/", None, &headers).unwrap()
}

fn judge(lines: &[&str], trust: &Trust, peer: Option<&str>) -> Provenance {
    let peer = Peer { address: peer.map(|peer| peer.parse().unwrap()), tls: false };
    Provenance::judge(&head(lines).view(), trust, peer, || (1, 2))
}

fn client(lines: &[&str], trust: &Trust) -> String {
    let found = judge(lines, trust, Some(PEER)).forwarded_for;
    found.map_or_else(|| "peer".to_owned(), |client| client.to_string())
}

#[test]
fn the_walk_ends_at_the_first_address_that_is_not_trusted() {
    for (lines, expected) in [
        (&["x-forwarded-for: 203.0.113.5"][..], "203.0.113.5"),
        (&["x-forwarded-for: 203.0.113.5, 10.1.1.1"], "203.0.113.5"),
        (&["x-forwarded-for: 6.6.6.6, 203.0.113.5"], "203.0.113.5"),
        (&["x-forwarded-for: 6.6.6.6, 203.0.113.5,10.1.1.1 ,\t192.0.2.200"], "203.0.113.5"),
        // Spread over lines, which are one list.
        (&["x-forwarded-for: 6.6.6.6", "a: b", "X-Forwarded-For: 203.0.113.5"], "203.0.113.5"),
        (&["x-forwarded-for: 203.0.113.5", "x-forwarded-for: 10.1.1.1"], "203.0.113.5"),
        // All trusted: the first of them is the client.
        (&["x-forwarded-for: 10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        // Empty elements are none.
        (&["x-forwarded-for: , 203.0.113.5,, 10.1.1.1, ,"], "203.0.113.5"),
        (&["x-forwarded-for: "], "peer"),
        (&[], "peer"),
        // Malformed entries end the walk with whom the last trusted proxy had met.
        (&["x-forwarded-for: unknown"], "peer"),
        (&["x-forwarded-for: 203.0.113.5, unknown"], "peer"),
        (&["x-forwarded-for: 203.0.113.5, nonsense, 10.1.1.1"], "10.1.1.1"),
        (&["x-forwarded-for: 203.0.113.5 10.1.1.1"], "peer"),
        // Mapped addresses are IPv4, which may be trusted.
        (&["x-forwarded-for: 203.0.113.5, ::ffff:10.1.1.1"], "203.0.113.5"),
        (&["x-forwarded-for: ::ffff:203.0.113.5"], "203.0.113.5"),
        (&["x-forwarded-for: 2001:db8::7, fd00::1"], "2001:db8::7"),
        // What else could name a client does not.
        (&["forwarded: for=203.0.113.5"], "peer"),
        (&["x-real-ip: 203.0.113.5"], "peer"),
    ] {
        assert_eq!(client(lines, &proxies()), expected, "{lines:?}");
    }
}

#[test]
fn counted_hops_find_the_client_by_its_place() {
    let list = &["x-forwarded-for: 6.6.6.6, 203.0.113.5, 198.51.100.1, 198.51.100.2"];
    for (count, expected) in [
        (1, "198.51.100.2"),
        (2, "198.51.100.1"),
        (3, "203.0.113.5"),
        (4, "6.6.6.6"),
        // Fewer entries than proxies: the request came another way.
        (5, "peer"),
    ] {
        assert_eq!(client(list, &hops(count)), expected, "{count}");
    }
    assert_eq!(client(&["x-forwarded-for: 203.0.113.5, unknown"], &hops(2)), "peer");
    assert_eq!(client(&["x-forwarded-for: unknown, 203.0.113.5"], &hops(1)), "203.0.113.5");
    assert_eq!(client(&[], &hops(1)), "peer");
    let over_unix = judge(&["x-forwarded-for: 203.0.113.5"], &hops(1), None);
    assert_eq!(over_unix.forwarded_for, Some("203.0.113.5".parse().unwrap()));
}

#[test]
fn entries_are_addresses_with_or_without_a_port() {
    for (entry, expected) in [
        ("203.0.113.5", Some("203.0.113.5")),
        ("203.0.113.5:1", Some("203.0.113.5")),
        ("203.0.113.5:65535", Some("203.0.113.5")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("[2001:db8::1]", Some("2001:db8::1")),
        ("[2001:db8::1]:443", Some("2001:db8::1")),
        ("[::ffff:203.0.113.5]:443", Some("203.0.113.5")),
        ("203.0.113.5:", None),
        ("203.0.113.5:0", None),
        ("203.0.113.5:65536", None),
        ("203.0.113.5:+1", None),
        ("203.0.113.05", None),
        ("203.0.113", None),
        ("[203.0.113.5]", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]443", None),
        ("[2001:db8::1]:", None),
        ("[fe80::1%eth0]", None),
        ("fe80::1%eth0", None),
        (":443", None),
        ("\"203.0.113.5\"", None),
        ("for=203.0.113.5", None),
        ("unknown", None),
        ("_hidden", None),
        ("localhost", None),
    ] {
        let found = address(entry.as_bytes()).map(|address| address.to_string());
        assert_eq!(found.as_deref(), expected, "{entry}");
    }
    assert_eq!(address(b"\xff\xfe"), None);
}

#[test]
fn an_untrusted_peer_is_the_client() {
    let lines = &[
        "x-forwarded-for: 10.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: evil.example",
        "x-forwarded-port: 1",
        "x-request-id: mine",
    ];
    for (trust, peer) in [
        (Trust::None, Some("10.0.0.9")),
        (Trust::None, None),
        (proxies(), Some("11.0.0.1")),
        (proxies(), Some("192.0.2.127")),
        (proxies(), None),
    ] {
        let claims = judge(lines, &trust, peer);
        let head = head(lines);
        assert!(claims.forwarded_for.is_none() && !claims.tls && !claims.trusted, "{peer:?}");
        assert!(claims.host.is_none() && claims.request_id(&head.view()).is_none());
        assert_eq!(claims.port(&head.view(), Some(8080)), Some(8080));
    }
}

#[test]
fn the_word_of_a_trusted_peer_counts_if_it_is_well_formed() {
    let found = |lines: &[&str]| {
        let head = head(lines);
        let peer = Peer { address: Some(PEER.parse().unwrap()), tls: false };
        let claims = Provenance::judge(&head.view(), &proxies(), peer, || (1, 2));
        let host = claims.host.map(|host| String::from_utf8_lossy(host.of(head.view().bytes)));
        let id = claims.request_id(&head.view());
        let port = claims.port(&head.view(), Some(8080));
        format!(
            "{} {} {} {}",
            if claims.tls { "https" } else { "http" },
            port.map_or_else(|| "-".to_owned(), |port| port.to_string()),
            host.as_deref().unwrap_or("-"),
            id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        )
    };
    for (lines, expected) in [
        (&[][..], "http 8080 - -"),
        (&["x-forwarded-proto: https"], "https - - -"),
        (&["x-forwarded-proto: HTTPS", "x-forwarded-port: 8443"], "https 8443 - -"),
        (&["x-forwarded-proto: http"], "http - - -"),
        (&["x-forwarded-proto: wss"], "http 8080 - -"),
        (&["x-forwarded-proto: https, http"], "http 8080 - -"),
        (&["x-forwarded-proto: https", "x-forwarded-proto: https"], "http 8080 - -"),
        (&["x-forwarded-port: 0"], "http 8080 - -"),
        (&["x-forwarded-port: 443"], "http 443 - -"),
        (&["x-forwarded-port: 443, 80"], "http 8080 - -"),
        (&["x-forwarded-host: a.example:8443"], "http 8080 a.example:8443 -"),
        (&["x-forwarded-host: a.example, b.example"], "http 8080 - -"),
        (&["x-forwarded-host: user@a.example"], "http 8080 - -"),
        (&["x-request-id: abc-1"], "http 8080 - abc-1"),
        (&["x-request-id: a b"], "http 8080 - -"),
        (&["x-request-id: a", "x-request-id: b"], "http 8080 - -"),
    ] {
        assert_eq!(found(lines), expected, "{lines:?}");
    }
}

#[test]
fn the_trace_is_that_of_the_only_parent_from_any_peer() {
    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let parent = format!("traceparent: {SENT}");
    let state = |length: usize| format!("tracestate: {}", "s".repeat(length));
    let trace = |lines: &[&str]| {
        let trace = judge(lines, &Trust::None, Some(PEER)).trace.unwrap();
        (trace.begun().is_none(), trace.keeps_state())
    };
    assert_eq!(trace(&[]), (false, false));
    assert_eq!(trace(&[&parent]), (true, true));
    assert_eq!(trace(&[&parent, &parent]), (false, false));
    assert_eq!(trace(&[&state(9)]), (false, false));
    assert_eq!(trace(&[&parent, &state(512)]), (true, true));
    assert_eq!(trace(&[&parent, &state(513)]), (true, false));
    // Two lines are one list, with the comma that joins them.
    assert_eq!(trace(&[&parent, &state(255), &state(256)]), (true, true));
    assert_eq!(trace(&[&parent, &state(256), &state(256)]), (true, false));
}

#[test]
fn chains_are_bounded() {
    let entries = |count: usize| vec!["10.1.1.1"; count].join(", ");
    let lines = |chain: &str| format!("x-forwarded-for: {chain}");
    // The client is the thirty-second entry, or out of sight.
    let near = lines(&format!("203.0.113.5, {}", entries(CHAIN_ENTRIES - 1)));
    assert_eq!(client(&[&near], &proxies()), "203.0.113.5");
    let far = lines(&format!("203.0.113.5, {}", entries(CHAIN_ENTRIES)));
    assert_eq!(client(&[&far], &proxies()), "10.1.1.1");

    // A cut entry must not become another address.
    for padding in 0..40 {
        let spaces = " ".repeat(CHAIN_BYTES - 20 - padding);
        let padded = lines(&format!("203.0.113.5,{spaces}10.1.1.1"));
        assert_eq!(client(&[&padded], &proxies()), "203.0.113.5");
        let spaces = " ".repeat(CHAIN_BYTES - 20 + padding);
        let padded = lines(&format!("203.0.113.5,{spaces}10.1.1.1"));
        let found = client(&[&padded], &proxies());
        assert!(["203.0.113.5", "10.1.1.1", "peer"].contains(&found.as_str()), "{found}");
    }
    let commas = ",".repeat(CHAIN_BYTES);
    let hidden = [lines("203.0.113.5"), lines(&commas), lines("10.1.1.1")];
    assert_eq!(client(&hidden.each_ref().map(String::as_str), &proxies()), "10.1.1.1");
    let endless = lines(&"1".repeat(2 * CHAIN_BYTES));
    assert_eq!(client(&[&endless], &proxies()), "peer");
}

proptest! {
    #[test]
    fn nothing_left_of_the_client_moves_it(before in "[ -~\\t]{0,6000}", lines in 1..4usize) {
        let mut list = vec![format!("x-forwarded-for: {before}"); lines];
        list.push("x-forwarded-for: 203.0.113.5, 10.1.1.1".to_owned());
        let list: Vec<_> = list.iter().map(String::as_str).collect();
        prop_assert_eq!(client(&list, &proxies()), "203.0.113.5");
        prop_assert_eq!(client(&list, &hops(2)), "203.0.113.5");
    }

    #[test]
    fn whatever_comes_is_bounded(values in prop::collection::vec("[0-9., :\\[\\]]{0,5000}", 0..4)) {
        let lines: Vec<_> = values.iter().map(|value| format!("x-forwarded-for: {value}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let head = head(&lines);
        let found: Vec<_> = chain(head.view().fields()).collect();
        prop_assert!(found.len() <= CHAIN_ENTRIES);
        prop_assert!(found.iter().map(|entry| entry.len()).sum::<usize>() <= CHAIN_BYTES);
        // Each is a whole element of some line, never the end of one.
        for entry in found {
            let entry = std::str::from_utf8(entry).unwrap();
            let whole = |value: &String| {
                value.split(',').any(|one| one.trim_matches([' ', '\t']) == entry)
            };
            prop_assert!(values.iter().any(whole), "{}", entry);
        }
    }
}
