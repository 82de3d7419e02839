use super::*;
use crate::error::Reason;
use crate::http1::tests::forward::{RESPONSE_RULES, check_response_prefixes};

fn verdict_of(bytes: &[u8], method: &[u8]) -> Result<Option<ResponseParts>, Reason> {
    check_response_prefixes(bytes, method);
    let mut parts = ResponseParts::default();
    match parse_response(bytes, &RESPONSE_RULES, method, &mut parts)
        .map_err(|cause| cause.reason)?
    {
        Parsed::Complete => Ok(Some(parts)),
        Parsed::Partial => Ok(None),
    }
}

fn accept_of(text: &str, method: &[u8]) -> ResponseParts {
    let parts = verdict_of(text.as_bytes(), method)
        .unwrap_or_else(|reason| panic!("{text:?} is refused as {}", reason.label()));
    parts.unwrap_or_else(|| panic!("{text:?} is partial"))
}

fn accept(text: &str) -> ResponseParts {
    accept_of(text, b"GET")
}

fn refuse(text: &str) {
    let found = verdict_of(text.as_bytes(), b"GET").map(|_| ());
    assert_eq!(found, Err(Reason::UpstreamProtocol), "{text:?}");
}

fn with(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")
}

#[test]
fn a_head_is_taken_apart() {
    let text =
        "HTTP/1.1 404 Not  Found\r\nContent-Length: 3\r\nkeep-alive: max=5, Timeout=7\r\n\r\nabc";
    let parts = accept(text);
    assert_eq!(parts.status, 404);
    assert_eq!(parts.reason.of(text.as_bytes()), b"Not  Found");
    assert_eq!(parts.framing, Framing::Length(3));
    assert_eq!(parts.keep_alive_timeout, Some(7));
    assert_eq!(parts.length as usize, text.len() - 3);
    assert!(parts.keep_alive);
}

#[test]
fn status_lines_with_two_readings_are_refused() {
    for line in [
        "",
        " ",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 099 x",
        "HTTP/1.1 000 x",
        "HTTP/1.1 -20 x",
        "HTTP/1.1 +20 x",
        "HTTP/1.1 2x0 x",
        "HTTP/1.1 0x2 x",
        "HTTP/0.9 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/2 200",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 200 a\0b",
        "HTTP/1.1 200 a\rb",
        "HTTP/1.1 200 a\u{1}",
        "HTTP/1.1 200 \u{7f}",
        "200 OK",
        "<html>",
        "GET / HTTP/1.1",
        "\r\nHTTP/1.1 200 OK",
        "HTTP/1.10 200 OK",
        "HTTP/1.1:200 OK",
        "HTTP/11 200 OK",
    ] {
        refuse(&format!("{line}\r\ncontent-length: 0\r\n\r\n"));
    }
    for (line, status) in [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 200 ", 200),
        ("HTTP/1.1 200", 200),
        ("HTTP/1.0 404 Not Found", 404),
        ("HTTP/1.1 999 Own", 999),
        ("HTTP/1.1 200 a\tb  c", 200),
        ("HTTP/1.1 200 \u{e4}", 200),
    ] {
        assert_eq!(accept(&format!("{line}\r\ncontent-length: 0\r\n\r\n")).status, status);
    }
}

#[test]
fn lines_with_two_readings_are_refused() {
    for text in [
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\n",
        "HTTP/1.1 200 OK\rcontent-length: 0\r\r",
        "HTTP/1.1 200 OK\r\r\ncontent-length: 0\r\n\r\n",
    ] {
        refuse(text);
    }
    for line in [
        " x: y",
        "\tx: y",
        "x: y\r\n z",
        "x: y\r\n\tz",
        "x : y",
        "x\t: y",
        ": y",
        "x",
        "x y: z",
        "x\0: y",
        "x: \0",
        "x: a\u{1}b",
        "x: a\rb",
        "x: a\nb",
        "x: \u{7f}",
        "\u{e4}: y",
        "x(): y",
        "x/y: z",
        "x\r: y",
    ] {
        refuse(&with(line));
        refuse(&with(&format!("content-length: 5\r\n{line}")));
    }
    for line in ["x:", "x:y", "x_y: z", "x: \u{e4}", "x: \t y \t"] {
        accept(&with(line));
    }
}

#[test]
fn framing_is_judged_as_strictly_as_of_requests() {
    for (lines, framing) in [
        ("x: y", Framing::UntilClose),
        ("content-length: 0", Framing::Length(0)),
        ("content-length: 9223372036854775807", Framing::Length(i64::MAX as u64)),
        ("Transfer-Encoding: Chunked", Framing::Chunked),
    ] {
        assert_eq!(accept(&with(lines)).framing, framing, "{lines}");
    }
    for lines in [
        "content-length:",
        "content-length: +5",
        "content-length: -5",
        "content-length: 5,5",
        "content-length: 5, 5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length: 5.",
        "content-length: 9223372036854775808",
        "content-length: 99999999999999999999",
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding:",
        "transfer-encoding: identity",
        "transfer-encoding: gzip",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked;a",
        "connection: a b",
    ] {
        refuse(&with(lines));
        // What it claims must be right even where no body follows.
        let head = verdict_of(with(lines).as_bytes(), b"HEAD").map(|_| ());
        assert_eq!(head, Err(Reason::UpstreamProtocol), "{lines}");
    }
    refuse("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    for lines in ["x: y", "content-length: 5", "transfer-encoding: chunked"] {
        assert_eq!(accept_of(&with(lines), b"HEAD").framing, Framing::None, "{lines}");
        let text = format!("HTTP/1.1 304 Not Modified\r\n{lines}\r\n\r\n");
        let parts = accept(&text);
        assert_eq!(parts.framing, Framing::None, "{lines}");
        assert!(parts.keep_alive);
    }
    for status in ["100 Continue", "101 Switching Protocols", "103 Early Hints", "204 No Content"] {
        for lines in ["x: y", "content-length: 0"] {
            let parts = accept(&format!("HTTP/1.1 {status}\r\n{lines}\r\n\r\n"));
            assert_eq!(parts.framing, Framing::None, "{status}");
        }
        for lines in ["content-length: 5", "transfer-encoding: chunked"] {
            refuse(&format!("HTTP/1.1 {status}\r\n{lines}\r\n\r\n"));
        }
    }
    assert_eq!(accept("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK").length, 25);
}

#[test]
fn reuse_follows_version_and_connection() {
    let cases = [
        ("1.1", "content-length: 0", true),
        ("1.1", "content-length: 0\r\nconnection: close", false),
        ("1.1", "content-length: 0\r\nconnection: x, CLOSE", false),
        ("1.1", "x: y", false),
        ("1.1", "connection: keep-alive", false),
        ("1.0", "content-length: 0", false),
        ("1.0", "content-length: 0\r\nconnection: keep-alive", true),
        ("1.0", "content-length: 0\r\nconnection: keep-alive, close", false),
    ];
    for (version, lines, keep_alive) in cases {
        let parts = accept(&format!("HTTP/{version} 200 OK\r\n{lines}\r\n\r\n"));
        assert_eq!(parts.keep_alive, keep_alive, "{version} {lines}");
    }
    for (value, seconds) in [
        ("timeout=5", Some(5)),
        ("max=1, timeout=60", Some(60)),
        ("timeout=", None),
        ("timeout=-1", None),
        ("timeout=99999999999", None),
        ("timeout=5s", None),
        ("timeouts=5", None),
        ("5", None),
    ] {
        let parts = accept(&with(&format!("content-length: 0\r\nkeep-alive: {value}")));
        assert_eq!(parts.keep_alive_timeout, seconds, "{value}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let rules = ResponseRules { head_bytes: 40, headers: 2 };
    let judge = |text: &str| {
        parse_response(text.as_bytes(), &rules, b"GET", &mut ResponseParts::default())
            .map_err(|cause| cause.reason)
    };
    let head = |fill: usize| format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "v".repeat(fill));
    assert_eq!(head(16).len(), 40);
    assert_eq!(judge(&head(16)), Ok(Parsed::Complete));
    assert_eq!(judge(&head(16)[..39]), Ok(Parsed::Partial));
    assert_eq!(judge(&head(17)), Err(Reason::UpstreamHeadTooLarge));
    assert_eq!(judge("HTTP/1.1 200 OK\r\na:\r\nb:\r\n\r\n"), Ok(Parsed::Complete));
    assert_eq!(judge("HTTP/1.1 200 OK\r\na:\r\nb:\r\nc"), Err(Reason::UpstreamHeadTooLarge));
}
