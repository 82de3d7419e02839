//! Smuggling payloads, made by mutating what frames a message, and oddities that must pass.

use std::collections::BTreeSet;

use super::judge::{self, CodecOutcome};

/// Ways to write a framing field so that one server sees it and another does not.
fn disguises(name: &str, value: &str) -> Vec<Vec<u8>> {
    let upper = name.to_ascii_uppercase();
    let under = name.replace('-', "_");
    let mut lines: Vec<String> = vec![
        format!("{name}: {value}"),
        format!("{name}:{value}"),
        format!("{upper}: {value}"),
        format!("{name}:\t{value}"),
        format!("{name}:  {value}  "),
        format!("{under}: {value}"),
        format!("x: y\n{name}: {value}"),
        format!("x: y\r{name}: {value}"),
        format!("x: y\r\r\n{name}: {value}"),
        format!("x: y\r\n\r{name}: {value}"),
        format!("{name}: \"{value}\""),
        format!("{name}: '{value}'"),
        format!("{name}:\r\n {value}"),
        format!("{name}:\r\n\t{value}"),
        format!("{name}:\n {value}"),
        format!("{name}: {value}\r\n x"),
        format!("{name}\r\n: {value}"),
        format!("{name} {value}"),
        format!("{name}; {value}"),
        format!("{name}= {value}"),
        format!("{name}: {value},"),
        format!("{name}: ,{value}"),
        format!("{name}: {value}, {value}"),
        format!("{name}: {value}; a=b"),
        format!("{name}: {value}\r\n{name}: {value}"),
        format!("{name}: {value}\r\n{upper}: x"),
        format!("{name}: x\r\n{upper}: {value}"),
        format!("connection: {name}\r\n{name}: {value}"),
        format!("x{name}: {value}"),
        format!("{name}x: {value}"),
        format!("{name}: x{value}"),
        format!("{name}: {value}x"),
    ];
    for space in [" ", "\t", "\u{b}", "\u{c}", "\0", "\r", "\u{a0}", "\u{85}", "\u{7f}", "\u{1}"] {
        lines.push(format!("{name}{space}: {value}"));
        lines.push(format!("{space}{name}: {value}"));
        lines.push(format!("{name}:{space}{value}"));
        lines.push(format!("{name}: {value}{space}"));
    }
    lines.into_iter().map(String::into_bytes).collect()
}

/// What follows the head: bodies whose end depends on who reads.
const BODIES: [&str; 9] = [
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "05\r\nhello\r\n0\r\nContent-Length: 3\r\nx-t: 1\r\n\r\nabc",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "fffffffffffffffb\r\nhello\r\n0\r\n\r\n",
];

fn payloads(first: &str) -> BTreeSet<Vec<u8>> {
    let mut heads: Vec<Vec<u8>> = Vec::new();
    let lengths: Vec<_> = ["5", "+5", "0x5", "5 5", "-1", "18446744073709551621"]
        .iter()
        .flat_map(|value| disguises("content-length", value))
        .collect();
    let codings: Vec<_> = ["chunked", "identity", "gzip, chunked", "chunked, identity"]
        .iter()
        .flat_map(|value| disguises("transfer-encoding", value))
        .collect();
    heads.extend(lengths.iter().cloned());
    heads.extend(codings.iter().cloned());
    for coding in disguises("transfer-encoding", "chunked") {
        heads.push([&coding[..], b"\r\ncontent-length: 5"].concat());
        heads.push([b"content-length: 5\r\n", &coding[..]].concat());
    }
    for length in disguises("content-length", "5") {
        heads.push([&length[..], b"\r\ntransfer-encoding: chunked"].concat());
        heads.push([&length[..], b"\r\ncontent-length: 6"].concat());
    }
    let mut payloads = BTreeSet::new();
    for (index, head) in heads.iter().enumerate() {
        for (which, body) in BODIES.iter().enumerate() {
            // Each head with some of the bodies, each body with some of the heads.
            if which < 2 || (index + which) % 4 == 0 {
                let start = [first.as_bytes(), &head[..]].concat();
                payloads.insert([&start[..], b"\r\n\r\n", body.as_bytes()].concat());
            }
        }
        for end in ["\n\n", "\r\n\n", "\n\r\n", "\r\r", "\r\n\r\r\n", "\r\n \r\n\r\n"] {
            if index % 8 == end.len() {
                let start = [first.as_bytes(), &head[..]].concat();
                payloads.insert([&start[..], end.as_bytes(), b"hello"].concat());
            }
        }
    }
    payloads
}

#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    whole: usize,
    unfinished: usize,
}

impl Tally {
    fn count(&mut self, outcome: CodecOutcome) {
        match outcome {
            CodecOutcome::Refused(_) => self.refused += 1,
            CodecOutcome::Whole => self.whole += 1,
            CodecOutcome::Partial | CodecOutcome::Cut => self.unfinished += 1,
        }
    }
}

#[test]
fn no_request_is_forwarded_that_could_be_framed_otherwise() {
    let payloads = payloads("POST / HTTP/1.1\r\nhost: a\r\n");
    let mut tally = Tally::default();
    for payload in &payloads {
        // Panics where the two readers disagree.
        tally.count(judge::request(payload));
    }
    assert!(payloads.len() >= 1_900, "{} payloads", payloads.len());
    // Most are refused; the rest are plain requests in an odd dress.
    assert!(tally.refused * 100 > payloads.len() * 75, "{tally:?}");
    assert!(tally.whole > 50, "{tally:?}");
}

#[test]
fn no_response_is_forwarded_that_could_be_framed_otherwise() {
    let payloads = payloads("HTTP/1.1 200 OK\r\n");
    let mut tally = Tally::default();
    for payload in &payloads {
        for method in [&b"GET"[..], b"HEAD"] {
            tally.count(judge::response(payload, method));
        }
    }
    assert!(tally.refused * 100 > payloads.len() * 2 * 70, "{tally:?}");
    assert!(tally.whole > 100, "{tally:?}");
}

#[test]
fn valid_oddities_pass() {
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
        "POST / HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc",
        "GET http://a.example/x?y HTTP/1.1\r\nhost: b\r\n\r\n",
        "GET http://a.example HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nempty:\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:a\r\nx:\t\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        "DELETE / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        "get / HTTP/1.1\r\nhost: a\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;e=\"f\"\r\na\r\n0\r\n\r\n",
        "GET /%E4?a=b?c&d[]={} HTTP/1.1\r\nhost: a\r\nx: \u{e4}\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, x\r\nx: y\r\n\r\n",
    ] {
        assert_eq!(judge::request(request.as_bytes()), CodecOutcome::Whole, "{request:?}");
    }
    for response in [
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na",
        "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\ngrpc-status: 0\r\n\r\n",
        "HTTP/1.1 599 Odd\r\nx_y: z\r\nconnection: close\r\n\r\n",
    ] {
        assert_eq!(
            judge::response(response.as_bytes(), b"GET"),
            CodecOutcome::Whole,
            "{response:?}"
        );
    }
}
