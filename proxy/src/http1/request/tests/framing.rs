//! What lengths, codings, connection options and expectations say of body and connection.

use crate::error::Reason;

use super::*;

#[test]
fn lengths_are_plain_numbers() {
    for (value, length) in [
        ("0", 0),
        ("5", 5),
        ("  5  ", 5),
        ("\t5", 5),
        ("007", 7),
        ("9223372036854775807", i64::MAX as u64),
    ] {
        let parts = accept(&with(&format!("content-length: {value}")));
        assert_eq!(parts.framing, Framing::Length(length), "{value:?}");
    }
    for value in [
        "",
        " ",
        "+5",
        "-5",
        "-0",
        "5,5",
        "5, 5",
        "5,6",
        "5 5",
        "5;",
        "0x5",
        "5h",
        "5.0",
        "5e1",
        "1_000",
        "\"5\"",
        "'5'",
        "\u{661}",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551621",
        "99999999999999999999",
        "00000000000000000005",
        "5\u{a0}",
        "five",
        "chunked",
        ",5",
        "5,",
        "%35",
        "5\u{e4}",
    ] {
        refuse(&[(&with(&format!("content-length: {value}")), Reason::BadRequest)]);
    }
    for lines in [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\r\nContent-Length: 6",
        "content-length: 5\r\nx: y\r\nCONTENT-LENGTH: 5",
        "content-length: \r\ncontent-length: 5",
    ] {
        refuse(&[(&with(lines), Reason::BadRequest)]);
    }
}

#[test]
fn the_only_transfer_coding_is_chunked_once() {
    for value in ["chunked", "Chunked", "CHUNKED", " chunked\t"] {
        let parts = accept(&with(&format!("transfer-encoding: {value}")));
        assert_eq!(parts.framing, Framing::Chunked, "{value:?}");
    }
    for value in [
        "",
        " ",
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,chunked",
        "chunked, identity",
        "chunked,",
        ",chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "chunked; a=b",
        "\"chunked\"",
        "'chunked'",
        "chunk",
        "chunked\u{e4}",
        "chunked chunked",
        "chunked\u{a0}",
        "gzip chunked",
        "gzip;q=1, chunked",
        "chunked, gzip, chunked",
        "\tchunked,",
        ", ,",
        "c hunked",
        "chunked\tx",
        "null",
    ] {
        refuse(&[(&with(&format!("transfer-encoding: {value}")), Reason::BadRequest)]);
    }
    for value in ["gzip, chunked", "identity, chunked", "gzip,deflate , Chunked", "a,,chunked"] {
        let text = with(&format!("transfer-encoding: {value}"));
        refuse(&[(&text, Reason::TransferCodingUnsupported)]);
    }
    for lines in [
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\nTransfer-Encoding: identity",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "content-length: 0\r\ntransfer-encoding: chunked",
        "content-length: 5\r\ntransfer-encoding: identity",
        "content-length: x\r\ntransfer-encoding: chunked",
        "transfer-encoding: \r\ncontent-length: 5",
    ] {
        refuse(&[(&with(lines), Reason::BadRequest)]);
    }
    let old = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    refuse(&[(old, Reason::BadRequest)]);
}

#[test]
fn the_connection_field_decides_what_follows() {
    // Version, lines, keep-alive, upgrade.
    let cases = [
        ("1.1", "x: y", true, false),
        ("1.1", "connection: close", false, false),
        ("1.1", "connection: Close", false, false),
        ("1.1", "connection: keep-alive, close", false, false),
        ("1.1", "connection: keep-alive\r\nconnection: close", false, false),
        ("1.1", "connection: x, ,y", true, false),
        ("1.1", "connection:", true, false),
        ("1.1", "connection: upgrade", true, false),
        ("1.1", "upgrade: websocket", true, false),
        ("1.1", "connection: keep-alive, Upgrade\r\nupgrade: websocket", true, true),
        ("1.0", "connection: upgrade\r\nupgrade: websocket", false, false),
        ("1.0", "x: y", false, false),
        ("1.0", "connection: keep-alive", true, false),
        ("1.0", "connection: Keep-Alive, close", false, false),
        ("1.1", "proxy-connection: close", true, false),
    ];
    for (version, lines, keep_alive, upgrade) in cases {
        let parts = accept(&format!("GET / HTTP/{version}\r\nhost: a\r\n{lines}\r\n\r\n"));
        assert_eq!((parts.keep_alive, parts.upgrade), (keep_alive, upgrade), "{version} {lines}");
    }
    let many = format!("connection: {}", "a,".repeat(33));
    for lines in ["connection: a b", "connection: \"close\"", "connection: a;b", &many] {
        refuse(&[(&with(lines), Reason::BadRequest)]);
    }
}

#[test]
fn expectations_are_known_or_refused() {
    let body = "content-length: 1\r\n";
    assert!(accept(&with(&format!("{body}expect: 100-Continue"))).expect_continue);
    // Without a body there is nothing to wait for.
    assert!(!accept(&with("expect: 100-continue")).expect_continue);
    assert!(!accept(&with("content-length: 0\r\nexpect: 100-continue")).expect_continue);
    for lines in [
        "expect: 200-ok",
        "expect:",
        "expect: 100-continue, x",
        "expect: 100-continue\r\nexpect: 100-continue",
    ] {
        refuse(&[(&with(&format!("{body}{lines}")), Reason::ExpectationFailed)]);
    }
    let old = accept("POST / HTTP/1.0\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n");
    assert!(!old.expect_continue);
}
