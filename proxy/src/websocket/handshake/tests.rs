use portcullis_config::model::Underscores;

use super::*;
use crate::http1::request::{Parsed, RequestRules, parse_request};
use crate::http1::response::{ResponseRules, parse_response};
use crate::message::{RequestParts, ResponseParts};

const RULES: RequestRules = RequestRules {
    head_bytes: 8192,
    uri_bytes: 1024,
    headers: 50,
    underscores: Underscores::Reject,
};
/// The key of RFC 6455, section 1.3, and what it is answered with.
const KEY_LINE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT_LINE: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const GOOD: [&str; 4] =
    ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", KEY_LINE];

fn judge(start: &str, lines: &[&str], version: Version) -> Result<Option<Handshake>, Rule> {
    let text = format!("{start}\r\nhost: a\r\n{}\r\n\r\n", lines.join("\r\n"));
    let mut parts = RequestParts::default();
    assert_eq!(parse_request(text.as_bytes(), &RULES, &mut parts), Ok(Parsed::Complete), "{text}");
    if version == Version::Http2 {
        parts.version = version;
        parts.upgrade = true;
    }
    asked(&RequestHead { bytes: text.as_bytes(), parts: &parts }, || 7)
}

#[test]
fn which_requests_ask_for_a_websocket() {
    const GET: &str = "GET /live HTTP/1.1";
    let not =
        |lines: &[&str]| assert_eq!(judge(GET, lines, Version::Http11), Ok(None), "{lines:?}");
    not(&[]);
    not(&["upgrade: websocket", GOOD[2], KEY_LINE]);
    not(&["connection: upgrade", GOOD[2], KEY_LINE]);
    not(&["connection: upgrade", "upgrade: h2c"]);
    not(&["connection: upgrade", "upgrade: websockets"]);
    not(&["connection: upgrade", "upgrade: websocket/13"]);
    let old = judge("GET / HTTP/1.0", &GOOD, Version::Http11);
    assert_eq!(old, Ok(None), "HTTP/1.0 upgrades nothing");

    let asks = |lines: &[&str]| {
        let handshake = judge(GET, lines, Version::Http11).unwrap().expect("a handshake");
        assert_eq!(handshake.key(), b"dGhlIHNhbXBsZSBub25jZQ==", "{lines:?}");
    };
    asks(&GOOD);
    asks(&["CONNECTION: keep-alive, UPGRADE", "UPGRADE: WebSocket", GOOD[2], KEY_LINE]);
    asks(&[GOOD[0], "upgrade: h2c, websocket", GOOD[2], KEY_LINE]);
    asks(&[GOOD[0], "upgrade: foo/2", "upgrade: websocket", GOOD[2], KEY_LINE]);
    asks(&["connection: keep-alive", GOOD[0], GOOD[1], GOOD[2], KEY_LINE, "content-length: 0"]);
}

#[test]
fn a_handshake_in_bad_form_is_refused() {
    let refused = |start: &str, lines: &[&str], reason| {
        assert_eq!(judge(start, lines, Version::Http11), Err(reason), "{start} {lines:?}");
    };
    let with = |line| [GOOD[0], GOOD[1], GOOD[2], line];
    const GET: &str = "GET / HTTP/1.1";
    refused("POST / HTTP/1.1", &GOOD, Rule::WebSocketMethod);
    refused("HEAD / HTTP/1.1", &GOOD, Rule::WebSocketMethod);
    for body in ["content-length: 3", "transfer-encoding: chunked"] {
        refused(GET, &[&GOOD[..], &[body]].concat(), Rule::WebSocketMethod);
    }
    for key in [
        "x-no: key",
        "sec-websocket-key:",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZTA=",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZTAw",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25*ZQ==",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==, x",
    ] {
        refused(GET, &with(key), Rule::WebSocketKey);
    }
    for version in ["x-no: version", "sec-websocket-version: 8", "sec-websocket-version: 13, 8"] {
        refused(GET, &[GOOD[0], GOOD[1], version, KEY_LINE], Rule::WebSocketVersionField);
    }
    let twice = "sec-websocket-version: 13\r\nsec-websocket-version: 13";
    refused(GET, &[GOOD[0], GOOD[1], twice, KEY_LINE], Rule::WebSocketVersionField);
}

#[test]
fn in_http2_the_key_is_our_own() {
    let handshake = judge("GET / HTTP/1.1", &[GOOD[2]], Version::Http2).unwrap().unwrap();
    assert_eq!(handshake.key(), b"AAAAAAAAAAAAAAAAAAAABw==");
    assert_eq!(Handshake::from_key(handshake.key()), Some(handshake));
    let old = judge("GET / HTTP/1.1", &["sec-websocket-version: 8"], Version::Http2);
    assert_eq!(old, Err(Rule::WebSocketVersionField));
}

fn answered(start: &str, lines: &[&str]) -> bool {
    let text = format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n"));
    let mut parts = ResponseParts::default();
    let rules = ResponseRules { head_bytes: 8192, headers: 50 };
    let parsed = parse_response(text.as_bytes(), &rules, b"GET", &mut parts);
    assert_eq!(parsed, Ok(Parsed::Complete), "{text}");
    let handshake = Handshake::from_key(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
    handshake.is_answered_by(&ResponseHead { bytes: text.as_bytes(), parts: &parts })
}

#[test]
fn which_answers_open_the_tunnel() {
    const START: &str = "HTTP/1.1 101 Switching Protocols";
    let good = ["Upgrade: websocket", "Connection: Upgrade", ACCEPT_LINE];
    assert!(answered(START, &good));
    assert!(answered(START, &["upgrade: WEBSOCKET", "connection: x, upgrade", ACCEPT_LINE]));
    for (start, lines) in [
        ("HTTP/1.1 200 OK", &good[..]),
        ("HTTP/1.0 101 Switching Protocols", &good),
        (START, &[good[1], ACCEPT_LINE]),
        (START, &[good[0], ACCEPT_LINE]),
        (START, &good[..2]),
        (START, &["upgrade: h2c", good[1], ACCEPT_LINE]),
        (START, &["upgrade: websocket, h2c", good[1], ACCEPT_LINE]),
        (START, &[good[0], "connection: keep-alive", ACCEPT_LINE]),
        (START, &[good[0], good[1], ACCEPT_LINE, ACCEPT_LINE]),
        (START, &[good[0], good[1], "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp="]),
        (START, &[good[0], good[1], "sec-websocket-accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO="]),
        (START, &[good[0], good[1], "sec-websocket-accept: dGhlIHNhbXBsZSBub25jZQ=="]),
    ] {
        assert!(!answered(start, lines), "{start} {lines:?}");
    }
}
