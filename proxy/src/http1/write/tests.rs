use portcullis_config::model::{HeaderEdits, HeaderValueEdit};
use portcullis_config::text::Template;
use portcullis_config::values::HeaderName;

use super::*;
use crate::http1::tests::forward::{REQUEST_RULES, RESPONSE_RULES};
use crate::http1::{Parsed, parse_request, parse_response, write_informational};
use crate::message::RequestParts;

const REQUEST: OutgoingRequest<'_> = OutgoingRequest {
    path: b"/p",
    query: None,
    host: b"h",
    framing: Framing::None,
    edits: None,
    changes: None,
    drop: KnownSet::EMPTY,
    append: &[],
    keep_expect: false,
    keep_upgrade: false,
    keep_alive: true,
};

const RESPONSE: OutgoingResponse<'_> = OutgoingResponse {
    client: Version::Http11,
    keep_alive: true,
    framing: Framing::None,
    date: b"D",
    edits: None,
    changes: None,
    drop: KnownSet::EMPTY,
    append: &[],
    keep_upgrade: false,
};

/// What follows `host`, of a request with these lines.
fn request(lines: &str, plan: &OutgoingRequest<'_>) -> String {
    let text = format!("POST /in HTTP/1.1\r\nHost: in\r\n{lines}\r\n");
    let mut parts = RequestParts::default();
    let parsed = parse_request(text.as_bytes(), &REQUEST_RULES, &mut parts);
    assert_eq!(parsed, Ok(Parsed::Complete), "{text:?}");
    let mut out = Vec::new();
    write_request(&mut out, &RequestHead { bytes: text.as_bytes(), parts: &parts }, plan);
    let out = String::from_utf8(out).unwrap();
    let rest = out.strip_prefix("POST /p HTTP/1.1\r\nhost: h\r\n").expect(&out);
    rest.strip_suffix("\r\n").expect(&out).to_owned()
}

fn response_of(text: &str, plan: &OutgoingResponse<'_>) -> String {
    let mut parts = ResponseParts::default();
    let parsed = parse_response(text.as_bytes(), &RESPONSE_RULES, b"GET", &mut parts);
    assert_eq!(parsed, Ok(Parsed::Complete), "{text:?}");
    let mut out = Vec::new();
    write_response(&mut out, &ResponseHead { bytes: text.as_bytes(), parts: &parts }, plan);
    String::from_utf8(out).unwrap()
}

fn response(lines: &str, plan: &OutgoingResponse<'_>) -> String {
    let out = response_of(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), plan);
    let rest = out.strip_prefix("HTTP/1.1 200 OK\r\n").expect(&out);
    rest.strip_suffix("\r\n").expect(&out).to_owned()
}

fn edits(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> Edits {
    let name = |name: &str| HeaderName::parse(name).unwrap();
    let edit = |(key, value): &(&str, &str)| HeaderValueEdit {
        name: name(key),
        value: Template::plain(*value),
    };
    Edits::try_new(&HeaderEdits {
        remove: remove.iter().map(|text| name(text)).collect(),
        set: set.iter().map(edit).collect(),
        add: add.iter().map(edit).collect(),
    })
    .unwrap()
}

#[test]
fn lines_that_stay_are_verbatim() {
    let lines = "X-A:  1 \r\nempty:\r\nCookie: a=b\r\nx-a:2\r\n";
    assert_eq!(request(lines, &REQUEST), lines);
}

#[test]
fn what_belongs_to_the_connection_stays_behind() {
    for line in [
        "connection: keep-alive",
        "keep-alive: timeout=5",
        "proxy-connection: keep-alive",
        "te: gzip",
        "trailer: x",
        "upgrade: h2c",
        "expect: 100-continue",
        "content-length: 5",
        "transfer-encoding: chunked",
    ] {
        assert_eq!(request(&format!("{line}\r\n"), &REQUEST), "", "{line}");
        assert_eq!(request(&format!("a: 1\r\n{line}\r\nb: 2\r\n"), &REQUEST), "a: 1\r\nb: 2\r\n");
        assert_eq!(request(&format!("{line}\r\na: 1\r\n"), &REQUEST), "a: 1\r\n");
    }
}

#[test]
fn nominated_fields_go_but_for_those_that_matter() {
    let gone = request("connection: close, X-Hop\r\nx-hop: 1\r\na: 2\r\nX-HOP: 3\r\n", &REQUEST);
    assert_eq!(gone, "a: 2\r\n");
    for line in [
        "authorization: Bearer x",
        "Cookie: a",
        "X-Forwarded-For: 1",
        "x-forwarded-proto: https",
        "x-forwarded-anything: 1",
        "x-forwarded-client-cert: 1",
        "forwarded: for=1",
        "x-request-id: 1",
        "proxy-authorization: x",
        "content-type: a/b",
        "x-real-ip: 1",
        "cache-control: no-store",
        "date: D",
    ] {
        let name = line.split(':').next().unwrap();
        let lines = format!("connection: {name}\r\n{line}\r\n");
        assert_eq!(request(&lines, &REQUEST), format!("{line}\r\n"), "{line}");
        let lines = format!("{line}\r\nconnection: x, {}\r\nx: 1\r\n", name.to_uppercase());
        assert_eq!(request(&lines, &REQUEST), format!("{line}\r\n"), "{line}");
    }
    // Host and length are written anew, so nominating them does nothing.
    let framed = OutgoingRequest { framing: Framing::Length(5), ..REQUEST };
    let lines = "connection: host, content-length, transfer-encoding\r\ncontent-length: 5\r\n";
    assert_eq!(request(lines, &framed), "content-length: 5\r\n");
}

#[test]
fn the_plan_frames_the_request() {
    let framed = |framing| OutgoingRequest { framing, ..REQUEST };
    let lines = "content-length: 0005\r\n";
    assert_eq!(request(lines, &framed(Framing::Length(5))), "content-length: 5\r\n");
    assert_eq!(request(lines, &framed(Framing::Length(0))), "content-length: 0\r\n");
    let chunked = request("a: b\r\ntrailer: x\r\n", &framed(Framing::Chunked));
    assert_eq!(chunked, "a: b\r\ntrailer: x\r\ntransfer-encoding: chunked\r\n");
}

#[test]
fn connection_options_are_ours() {
    let upgrade = OutgoingRequest { keep_upgrade: true, ..REQUEST };
    let lines = "connection: Upgrade\r\nupgrade: websocket\r\n";
    assert_eq!(request(lines, &upgrade), "upgrade: websocket\r\nconnection: upgrade\r\n");
    let closing = OutgoingRequest { keep_alive: false, ..REQUEST };
    assert_eq!(request("", &closing), "connection: close\r\n");
    let trailers = request("te: gzip;q=0.5, Trailers\r\n", &closing);
    assert_eq!(trailers, "te: trailers\r\nconnection: te, close\r\n");
    let expecting = OutgoingRequest { keep_expect: true, ..REQUEST };
    assert_eq!(request("expect: 100-continue\r\n", &expecting), "expect: 100-continue\r\n");
}

#[test]
fn a_rewritten_target_cannot_break_the_line() {
    let text = b"GET /in HTTP/1.1\r\nhost: in\r\n\r\n";
    let mut parts = RequestParts::default();
    parse_request(text, &REQUEST_RULES, &mut parts).unwrap();
    let mut out = Vec::new();
    let plan = OutgoingRequest {
        path: b"/a b\r\nx: y#\xc3\xa4",
        query: Some(b"q= HTTP/1.1\r\n"),
        ..REQUEST
    };
    write_request(&mut out, &RequestHead { bytes: text, parts: &parts }, &plan);
    let expected =
        "GET /a%20b%0D%0Ax:%20y%23%C3%A4?q=%20HTTP/1.1%0D%0A HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn edits_are_applied_after_what_the_proxy_adds() {
    let edits = edits(
        &["x-debug", "x-forwarded-proto"],
        &[("x-channel", "web"), ("server", "s")],
        &[("x-channel", "two")],
    );
    let plan = OutgoingRequest {
        edits: Some(&edits),
        drop: KnownSet::of(&[Known::XForwardedFor]),
        append: &[
            Line { name: b"x-forwarded-for", value: &[b"1", b", ", b"2"] },
            Line { name: b"x-forwarded-proto", value: &[b"https"] },
        ],
        ..REQUEST
    };
    let lines = "a: 1\r\nX-Debug: 1\r\nb: 2\r\nX-Channel: x\r\nx-forwarded-for: 9\r\nserver: z\r\n";
    let added = "x-forwarded-for: 1, 2\r\nx-channel: web\r\nserver: s\r\nx-channel: two\r\n";
    assert_eq!(request(lines, &plan), format!("a: 1\r\nb: 2\r\n{added}"));
    // Nominating what a route sets strips what the client sent and nothing of ours.
    let nominated = request("connection: x-channel\r\nx-channel: x\r\n", &plan);
    assert_eq!(nominated, added);
}

#[test]
fn responses_are_framed_for_the_client() {
    let frame = |upstream, client| client_framing(upstream, client);
    assert_eq!(frame(Framing::Chunked, Version::Http11), Framing::Chunked);
    assert_eq!(frame(Framing::UntilClose, Version::Http11), Framing::Chunked);
    assert_eq!(frame(Framing::Chunked, Version::Http10), Framing::UntilClose);
    assert_eq!(frame(Framing::UntilClose, Version::Http10), Framing::UntilClose);
    assert_eq!(frame(Framing::Length(3), Version::Http10), Framing::Length(3));

    let length = OutgoingResponse { framing: Framing::Length(3), ..RESPONSE };
    let lines = "content-length: 3\r\na: b\r\ndate: X\r\n";
    assert_eq!(response(lines, &length), "a: b\r\ndate: X\r\ncontent-length: 3\r\n");

    let chunked = OutgoingResponse { framing: Framing::Chunked, ..RESPONSE };
    let lines = "transfer-encoding: chunked\r\nconnection: keep-alive\r\ntrailer: x\r\n";
    assert_eq!(
        response(lines, &chunked),
        "trailer: x\r\ntransfer-encoding: chunked\r\ndate: D\r\n"
    );

    let old =
        OutgoingResponse { client: Version::Http10, framing: Framing::UntilClose, ..RESPONSE };
    let lines = "transfer-encoding: chunked\r\ntrailer: x\r\n";
    assert_eq!(response(lines, &old), "date: D\r\nconnection: close\r\n");
    let old = OutgoingResponse { framing: Framing::Length(3), ..old };
    let kept = "content-length: 3\r\ndate: D\r\nconnection: keep-alive\r\n";
    assert_eq!(response("content-length: 3\r\n", &old), kept);
    let closing = OutgoingResponse { keep_alive: false, ..old };
    let closed = "content-length: 3\r\ndate: D\r\nconnection: close\r\n";
    assert_eq!(response("content-length: 3\r\n", &closing), closed);
}

#[test]
fn a_response_without_a_body_keeps_the_length_it_speaks_of() {
    assert_eq!(response("content-length: 9\r\n", &RESPONSE), "content-length: 9\r\ndate: D\r\n");
    let empty = "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\na: b\r\n\r\n";
    let written = "HTTP/1.1 204 No Content\r\na: b\r\ndate: D\r\n\r\n";
    assert_eq!(response_of(empty, &RESPONSE), written);
}

#[test]
fn a_date_stands_there_once() {
    let framed = OutgoingResponse { framing: Framing::Length(0), ..RESPONSE };
    let length = "content-length: 0\r\n";
    assert_eq!(response("Date: X\r\n", &framed), format!("Date: X\r\n{length}"));
    assert_eq!(response("", &framed), format!("{length}date: D\r\n"));
    let drop = OutgoingResponse { drop: KnownSet::of(&[Known::Date]), ..framed };
    assert_eq!(response("date: X\r\n", &drop), format!("{length}date: D\r\n"));
    let set = edits(&[], &[("date", "E")], &[]);
    let plan = OutgoingResponse { edits: Some(&set), ..framed };
    assert_eq!(response("date: X\r\n", &plan), format!("{length}date: E\r\n"));
    assert_eq!(response("", &plan), format!("{length}date: E\r\n"));
    let removed = edits(&["date"], &[], &[]);
    let plan = OutgoingResponse { edits: Some(&removed), ..framed };
    assert_eq!(response("date: X\r\n", &plan), length);
}

#[test]
fn old_and_switching_upstreams_are_translated() {
    let old = response_of(
        "HTTP/1.0 200\r\n\r\n",
        &OutgoingResponse { framing: Framing::Chunked, ..RESPONSE },
    );
    assert_eq!(old, "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\ndate: D\r\n\r\n");
    let switching = OutgoingResponse { keep_upgrade: true, keep_alive: false, ..RESPONSE };
    let text =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let expected = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\ndate: D\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(response_of(text, &switching), expected);
}

#[test]
fn interim_responses_pass_without_framing() {
    let text = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nconnection: x\r\nx: y\r\ncontent-length: 0\r\n\r\n";
    let mut parts = ResponseParts::default();
    parse_response(text.as_bytes(), &RESPONSE_RULES, b"GET", &mut parts).unwrap();
    let mut out = Vec::new();
    write_informational(&mut out, &ResponseHead { bytes: text.as_bytes(), parts: &parts });
    assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
}
