//! Which rule a refused head is said to break.

use std::collections::HashSet;

use super::*;

/// Heads that break one rule each; `host: a` is added where there is none.
const CASES: &[(Rule, &[u8])] = &[
    (Rule::TlsToPlain, b"\x16\x03\x01\x02\x00\x01\x00"),
    (Rule::Http2ToHttp1, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (Rule::RequestLine, b"GET  / HTTP/1.1\r\n\r\n"),
    (Rule::RequestLine, b"G@T / HTTP/1.1\r\n\r\n"),
    (Rule::RequestLine, b"GET /\r\n\r\n"),
    (Rule::RequestLine, b"\r\n\r\n"),
    (Rule::TargetByte, b"GET /\xff HTTP/1.1\r\n\r\n"),
    (Rule::TargetByte, b"GET /a#b HTTP/1.1\r\n\r\n"),
    (Rule::TargetForm, b"GET ftp://a/ HTTP/1.1\r\n\r\n"),
    (Rule::TargetForm, b"GET a HTTP/1.1\r\n\r\n"),
    (Rule::TargetHost, b"GET http:///x HTTP/1.1\r\n\r\n"),
    (Rule::Connect, b"CONNECT a:443 HTTP/1.1\r\n\r\n"),
    (Rule::VersionForm, b"GET / HTTP/2.0\r\n\r\n"),
    (Rule::VersionForm, b"GET / FTP/1.1\r\n\r\n"),
    (Rule::VersionForm, b"GET /a b HTTP/1.1\r\n\r\n"),
    (Rule::VersionLater, b"GET / HTTP/1.2\r\n\r\n"),
    (Rule::NameEmpty, b"GET / HTTP/1.1\r\n: x\r\n\r\n"),
    (Rule::NameByte, b"GET / HTTP/1.1\r\na(b: x\r\n\r\n"),
    (Rule::NameUnderscore, b"GET / HTTP/1.1\r\na_b: x\r\n\r\n"),
    (Rule::Colon, b"GET / HTTP/1.1\r\nabc\r\n\r\n"),
    (Rule::SpaceBeforeColon, b"GET / HTTP/1.1\r\na : x\r\n\r\n"),
    (Rule::ObsFold, b"GET / HTTP/1.1\r\na: x\r\n y\r\n\r\n"),
    (Rule::BareLineFeed, b"GET / HTTP/1.1\r\na: x\n\r\n"),
    (Rule::BareLineFeed, b"GET / HTTP/1.1\r\na: x\r\n\n"),
    (Rule::BareCarriageReturn, b"GET / HTTP/1.1\r\na: x\ry\r\n\r\n"),
    (Rule::ValueByte, b"GET / HTTP/1.1\r\na: \x00\r\n\r\n"),
    (Rule::ConnectionOption, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: a b\r\n\r\n"),
    (Rule::HostMissing, b"GET / HTTP/1.1\r\na: b\r\n\r\n"),
    (Rule::HostRepeated, b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
    (Rule::HostForm, b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n"),
    (Rule::Expectation, b"POST / HTTP/1.1\r\nhost: a\r\nexpect: x\r\n\r\n"),
    (Rule::LengthRepeated, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n"),
    (Rule::LengthForm, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n"),
    (Rule::LengthAndCoding, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
    (Rule::CodingRepeated, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n"),
    (Rule::CodingInHttp10, b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"),
    (Rule::CodingForm, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n"),
    (Rule::CodingUnknown, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n"),
];

#[test]
fn a_refused_head_names_its_rule_however_it_is_cut() {
    let mut seen = HashSet::new();
    for (rule, bytes) in CASES {
        check_request_prefixes(bytes);
        let found = parse_request(bytes, &REQUEST_RULES, &mut RequestParts::default());
        assert_eq!(found, Err(rule.in_request()), "{}", bytes.escape_ascii());
        seen.insert(*rule);
    }
    let of_heads = Rule::ALL.iter().take_while(|rule| **rule != Rule::ChunkSize);
    let limits = [Rule::MethodLong, Rule::UriLong, Rule::HeadBytes, Rule::HeadLines];
    for rule in of_heads.filter(|rule| !limits.contains(rule)) {
        // Only HTTP/2 can break it.
        assert!(seen.contains(rule) || *rule == Rule::ConnectProtocol, "no case breaks {rule:?}");
    }
}

#[test]
fn limits_are_named_by_their_keys() {
    let rules = RequestRules { head_bytes: 200, uri_bytes: 20, headers: 2, ..REQUEST_RULES };
    for (text, key) in [
        (format!("GET /{} HTTP/1.1\r\n\r\n", "u".repeat(20)), "requestLimits.uri"),
        (format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "v".repeat(200)), "requestLimits.headerBytes"),
        ("GET / HTTP/1.1\r\na: b\r\nc: d\r\ne: f\r\n\r\n".to_owned(), "requestLimits.headers"),
    ] {
        let found = parse_request(text.as_bytes(), &rules, &mut RequestParts::default());
        let rule = found.unwrap_err().rule.unwrap();
        assert!(rule.text().contains(key), "{text:?}: {}", rule.text());
    }
}

#[test]
fn what_was_read_before_the_mistake_is_kept() {
    for (text, method, host, path) in [
        ("GET /a?b HTTP/1.1\r\nhost: h\r\nx y: z\r\n\r\n", "GET", "h", "/a"),
        ("GET /a HTTP/1.1\r\nX_Tenant: 7\r\nhost: h\r\n\r\n", "GET", "", "/a"),
        ("GET http://o/a HTTP/1.1\r\nhost: h\r\nx y: z\r\n\r\n", "GET", "o", "/a"),
        ("PUT /a b HTTP/1.1\r\n\r\n", "PUT", "", "/a"),
        ("PUT \u{1}", "PUT", "", ""),
        ("\u{16}\u{3}", "", "", ""),
    ] {
        let mut parts = RequestParts::default();
        parse_request(text.as_bytes(), &REQUEST_RULES, &mut parts).unwrap_err();
        let kept = PartialHead::of(text.as_bytes(), &parts);
        let found = (kept.method, kept.host, kept.path);
        assert_eq!(found, (method.as_bytes(), host.as_bytes(), path.as_bytes()), "{text:?}");
    }
}
