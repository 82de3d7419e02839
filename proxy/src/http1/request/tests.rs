use super::*;
use crate::error::Reason;
use crate::http1::tests::forward::{REQUEST_RULES, check_request_prefixes};
use crate::message::{PartialHead, RequestHead};

mod framing;
mod rules;

/// The verdict, which must be the same however the bytes are cut.
fn verdict(bytes: &[u8]) -> Result<Option<RequestParts>, Reason> {
    check_request_prefixes(bytes);
    let mut parts = RequestParts::default();
    match parse_request(bytes, &REQUEST_RULES, &mut parts).map_err(|cause| cause.reason)? {
        Parsed::Complete => Ok(Some(parts)),
        Parsed::Partial => Ok(None),
    }
}

fn refuse(cases: &[(&str, Reason)]) {
    for (text, reason) in cases {
        let found = verdict(text.as_bytes()).map(|_| ());
        assert_eq!(found, Err(*reason), "{text:?}");
    }
}

fn accept(text: &str) -> RequestParts {
    let parts = verdict(text.as_bytes())
        .unwrap_or_else(|reason| panic!("{text:?} is refused as {}", reason.label()));
    let parts = parts.unwrap_or_else(|| panic!("{text:?} is partial"));
    assert_eq!(parts.length as usize, text.find("\r\n\r\n").unwrap() + 4, "{text:?}");
    parts
}

/// A request whose lines after `host` are given.
fn with(lines: &str) -> String {
    format!("POST /p HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n")
}

#[test]
fn a_head_is_taken_apart() {
    let text =
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com:81\r\nX-A:  1 2 \t\r\nempty:\r\n\r\nGET";
    let parts = accept(text);
    let head = RequestHead { bytes: text.as_bytes(), parts: &parts };
    assert_eq!(head.method(), b"GET");
    assert_eq!(head.path(), b"/a/b");
    assert_eq!(head.query(), Some(&b"c=d&e"[..]));
    assert_eq!(head.authority(), b"example.com:81");
    assert_eq!(parts.version, Version::Http11);
    assert_eq!(parts.framing, Framing::None);
    assert!(parts.keep_alive && !parts.expect_continue && !parts.upgrade);
    let fields: Vec<_> = head.fields().iter().collect();
    let expected: [(&[u8], &[u8]); 3] =
        [(b"Host", b"example.com:81"), (b"X-A", b"1 2"), (b"empty", b"")];
    assert_eq!(fields, expected);
}

#[test]
fn targets_come_in_three_forms() {
    // Target, path, query, authority.
    let cases = [
        ("/", "/", None, "a"),
        ("/?", "/", Some(""), "a"),
        ("/x?y?z", "/x", Some("y?z"), "a"),
        ("//x//", "//x//", None, "a"),
        ("/%2e%2E/{a}|b", "/%2e%2E/{a}|b", None, "a"),
        ("http://b.example", "/", None, "b.example"),
        ("http://b.example/", "/", None, "b.example"),
        ("HTTP://b.example:8080/x?q", "/x", Some("q"), "b.example:8080"),
        ("https://b?q", "/", Some("q"), "b"),
        ("http://[::1]:80/x", "/x", None, "[::1]:80"),
    ];
    for (target, path, query, authority) in cases {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let parts = accept(&text);
        let head = RequestHead { bytes: text.as_bytes(), parts: &parts };
        assert_eq!(head.path(), path.as_bytes(), "{target}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
        assert_eq!(head.authority(), authority.as_bytes(), "{target}");
        assert_eq!(parts.target.of(text.as_bytes()), target.as_bytes());
    }
    let text = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    let parts = accept(text);
    assert_eq!(parts.path.of(text.as_bytes()), b"*");
}

#[test]
fn request_lines_with_two_readings_are_refused() {
    use Reason::{BadHost, BadRequest, MethodUnsupported, VersionUnsupported};
    let cases = [
        // Separators.
        ("GET  / HTTP/1.1", BadRequest),
        ("GET /  HTTP/1.1", BadRequest),
        ("GET / HTTP/1.1 ", BadRequest),
        (" GET / HTTP/1.1", BadRequest),
        ("\tGET / HTTP/1.1", BadRequest),
        ("GET\t/ HTTP/1.1", BadRequest),
        ("GET /\tHTTP/1.1", BadRequest),
        ("GET / \tHTTP/1.1", BadRequest),
        ("GET / HTTP/1.1\t", BadRequest),
        ("GET /\u{b}HTTP/1.1", BadRequest),
        ("GET /a b HTTP/1.1", BadRequest),
        ("GET /\0 HTTP/1.1", BadRequest),
        ("GET\0 / HTTP/1.1", BadRequest),
        ("GET /\r HTTP/1.1", BadRequest),
        ("GET / HTTP/1.1\r", BadRequest),
        ("GET /\u{7f} HTTP/1.1", BadRequest),
        ("GET / HTTP/1.1\0", BadRequest),
        // Methods.
        ("", BadRequest),
        ("G@T / HTTP/1.1", BadRequest),
        ("GET: / HTTP/1.1", BadRequest),
        ("G\u{e4}T / HTTP/1.1", BadRequest),
        ("{} / HTTP/1.1", BadRequest),
        ("CONNECT a:443 HTTP/1.1", MethodUnsupported),
        ("CONNECT / HTTP/1.1", MethodUnsupported),
        ("CONNECT * HTTP/1.1", MethodUnsupported),
        // Versions.
        ("GET /", BadRequest),
        ("GET / ", BadRequest),
        ("GET / HTTP/0.9", BadRequest),
        ("GET / HTTP/2.0", BadRequest),
        ("PRI * HTTP/2.0", BadRequest),
        ("GET / HTTP/3.0", BadRequest),
        ("GET / HTTP/1.2", VersionUnsupported),
        ("GET / HTTP/1.9", VersionUnsupported),
        ("GET / HTTP/1.10", BadRequest),
        ("GET / HTTP/1", BadRequest),
        ("GET / HTTP/1.", BadRequest),
        ("GET / HTTP/11", BadRequest),
        ("GET / HTTP/01.1", BadRequest),
        ("GET / http/1.1", BadRequest),
        ("GET / Http/1.1", BadRequest),
        ("GET / HTTP /1.1", BadRequest),
        ("GET / HTTPS/1.1", BadRequest),
        ("GET / ICY/1.1", BadRequest),
        ("GET / HTTP/1,1", BadRequest),
        ("GET / HTTP/-1.1", BadRequest),
        ("GET / HTTP/1.1;", BadRequest),
        // Targets.
        ("GET a HTTP/1.1", BadRequest),
        ("GET a/b HTTP/1.1", BadRequest),
        ("GET ?a HTTP/1.1", BadRequest),
        ("GET /a#b HTTP/1.1", BadRequest),
        ("GET /?a#b HTTP/1.1", BadRequest),
        ("GET /\u{e4} HTTP/1.1", BadRequest),
        ("GET /?\u{e4} HTTP/1.1", BadRequest),
        ("GET * HTTP/1.1", BadRequest),
        ("POST * HTTP/1.1", BadRequest),
        ("options * HTTP/1.1", BadRequest),
        ("OPTIONS *a HTTP/1.1", BadRequest),
        ("OPTIONS ** HTTP/1.1", BadRequest),
        ("GET a:443 HTTP/1.1", BadRequest),
        ("GET ftp://a/ HTTP/1.1", BadRequest),
        ("GET file:///etc/passwd HTTP/1.1", BadRequest),
        ("GET http:/a/ HTTP/1.1", BadRequest),
        ("GET http:a HTTP/1.1", BadRequest),
        ("GET javascript:a HTTP/1.1", BadRequest),
        ("GET \\a HTTP/1.1", BadRequest),
        ("GET http:///a HTTP/1.1", BadHost),
        ("GET http://?a HTTP/1.1", BadHost),
        ("GET http:// HTTP/1.1", BadHost),
        ("GET http://u@a/ HTTP/1.1", BadHost),
        ("GET http://u:p@a/ HTTP/1.1", BadHost),
        ("GET http://a:/ HTTP/1.1", BadHost),
        ("GET http://a:99999/ HTTP/1.1", BadHost),
        ("GET http://a:b/ HTTP/1.1", BadHost),
        ("GET http://[::1/ HTTP/1.1", BadHost),
        ("GET http://[fe80::1%25lo]/ HTTP/1.1", BadHost),
        ("GET http://a\\b/ HTTP/1.1", BadHost),
        ("GET http://a%2fb/ HTTP/1.1", BadHost),
        ("GET http://.a/ HTTP/1.1", BadHost),
    ];
    for (line, reason) in cases {
        // An empty first line is one empty line: the caller skips it before the head.
        refuse(&[(&format!("{line}\r\nhost: a\r\n\r\n"), reason)]);
    }
}

#[test]
fn line_ends_are_crlf_and_nothing_else() {
    let bad = Reason::BadRequest;
    refuse(&[
        ("GET / HTTP/1.1\nhost: a\n\n", bad),
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\n\n", bad),
        ("GET / HTTP/1.1\rhost: a\r\r", bad),
        ("GET / HTTP/1.1\r\r\nhost: a\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\r\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\r\n\rx", bad),
        ("GET / HTTP/1.1\n\rhost: a\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\rz: w\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\nz: w\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\0z\r\n\r\n", bad),
        ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", bad),
        ("\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", bad),
        ("\rGET / HTTP/1.1\r\nhost: a\r\n\r\n", bad),
    ]);
    assert_eq!(leading_empty_line(b"\r\nGET"), 2);
    assert_eq!(leading_empty_line(b"GET"), 0);
    assert_eq!(leading_empty_line(b"\n"), 0);
    assert_eq!(leading_empty_line(b"\r"), 0);
    assert!(verdict(b"\r").unwrap().is_none());
}

#[test]
fn field_lines_with_two_readings_are_refused() {
    let lines = [
        " x: y",
        "\tx: y",
        "x: y\r\n z",
        "x: y\r\n\tz",
        "x: y\r\n \r\nz: w",
        "x : y",
        "x\t: y",
        ": y",
        ":",
        "x",
        "x y: z",
        "x\0: y",
        "x: \0",
        "x: a\u{1}b",
        "x: a\u{b}b",
        "x: a\u{c}",
        "x: a\u{7f}",
        "x: a\u{8}",
        "x\u{e4}: y",
        "\u{e4}: y",
        "x(): y",
        "x/y: z",
        "x@y: z",
        "x,y: z",
        "x;y: z",
        "x[y]: z",
        "x{y}: z",
        "x\\y: z",
        "\"x\": y",
        "x=y",
        "<x>: y",
        "x?: y",
        "x_y: z",
        "_: z",
        "content_length: 5",
        "transfer_encoding: chunked",
        "\r: x",
        "x\r: y",
        "x\n: y",
        "x:y\r",
        "\u{b}x: y",
        "x\u{a0}: y",
        "\u{feff}x: y",
    ];
    for line in lines {
        refuse(&[(&with(line), Reason::BadRequest)]);
        // Also as the first line.
        let text = format!("GET / HTTP/1.1\r\n{line}\r\nhost: a\r\n\r\n");
        refuse(&[(&text, Reason::BadRequest)]);
    }
}

#[test]
fn odd_but_clear_field_lines_pass() {
    for line in [
        "x:",
        "x: ",
        "x:\t",
        "x:y",
        "x:  y  ",
        "x: \ty\t ",
        "x: :",
        "x: a:b",
        "!#$%&'*+-.^`|~: y",
        "0: 1",
        "x: \u{e4}",
        "x: \"a\\\"b\"",
        "x: a\tb",
        "x: a,,b",
        "x: 'a",
        "x: ;",
        "X-Y: z",
    ] {
        accept(&with(line));
    }
    let latin = b"GET / HTTP/1.1\r\nhost: a\r\nx: \xff\x80\r\n\r\n";
    assert!(verdict(latin).unwrap().is_some());
}

#[test]
fn underscores_pass_where_they_are_allowed() {
    let text = with("x_y: z");
    let rules = RequestRules { underscores: Underscores::Allow, ..REQUEST_RULES };
    let mut parts = RequestParts::default();
    let parsed = parse_request(text.as_bytes(), &rules, &mut parts);
    assert_eq!(parsed, Ok(Parsed::Complete));
}

#[test]
fn a_request_names_one_host() {
    for lines in [
        "",
        "x: y",
        "host: a\r\nhost: a",
        "host: a\r\nHost: b",
        "host: a\r\nx: y\r\nHOST: a",
        "host:",
        "host: ",
        "host: a b",
        "host: a, b",
        "host: a,a",
        "host: a:80:80",
        "host: a:",
        "host: a:x",
        "host: a:99999",
        "host: a:-1",
        "host: a:+80",
        "host: a: 80",
        "host: :80",
        "host: u@a",
        "host: a/b",
        "host: /",
        "host: http://a",
        "host: a?b",
        "host: a\\b",
        "host: [::1",
        "host: ::1",
        "host: [::1]x",
        "host: [::g]",
        "host: [1.2.3.4]",
        "host: [fe80::1%lo]",
        "host: .a",
        "host: a..b",
        "host: a%00",
        "host: a;b",
        "host: \u{e4}",
        "host: \"a\"",
        "host: *",
        "host: a\tb",
    ] {
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        refuse(&[(&format!("GET / HTTP/1.1\r\n{lines}\r\n"), Reason::BadHost)]);
        // An absolute target overrides Host, and does not excuse it.
        refuse(&[(&format!("GET http://c/ HTTP/1.1\r\n{lines}\r\n"), Reason::BadHost)]);
    }
    for host in ["a", "a:80", "A.b-c_d.:65535", "1.2.3.4", "[::1]", "[2001:DB8::1]:443"] {
        let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(accept(&text).authority.of(text.as_bytes()), host.as_bytes());
    }
    // HTTP/1.0 may go without, never with two.
    let parts = accept("GET / HTTP/1.0\r\n\r\n");
    assert!(parts.authority.is_empty());
    refuse(&[("GET / HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n", Reason::BadHost)]);
    refuse(&[("GET / HTTP/1.0\r\nhost: a b\r\n\r\n", Reason::BadHost)]);
}

#[test]
fn limits_hold_to_the_byte() {
    let rules = RequestRules { head_bytes: 60, uri_bytes: 20, headers: 3, ..REQUEST_RULES };
    let judge = |text: &str| {
        let mut parts = RequestParts::default();
        parse_request(text.as_bytes(), &rules, &mut parts).map_err(|cause| cause.reason)
    };
    let uri = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "u".repeat(length));
    assert_eq!(judge(&uri(19)), Ok(Parsed::Complete));
    assert_eq!(judge(&uri(20)), Err(Reason::UriTooLong));
    // Also while the line, or the whole head, is still to come.
    assert_eq!(judge(&format!("GET /{}", "u".repeat(19))), Ok(Parsed::Partial));
    assert_eq!(judge(&format!("GET /{}", "u".repeat(20))), Err(Reason::UriTooLong));

    let head =
        |fill: usize| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "v".repeat(fill));
    assert_eq!(head(28).len(), 60);
    assert_eq!(judge(&head(28)), Ok(Parsed::Complete));
    assert_eq!(judge(&head(29)), Err(Reason::HeadTooLarge));
    assert_eq!(judge(&head(28)[..59]), Ok(Parsed::Partial));
    assert_eq!(judge(&head(40)[..60]), Err(Reason::HeadTooLarge));

    let lines =
        |count: usize| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x:\r\n".repeat(count));
    assert_eq!(judge(&lines(2)), Ok(Parsed::Complete));
    assert_eq!(judge(&lines(3)), Err(Reason::HeadTooLarge));
    assert_eq!(judge("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd"), Err(Reason::HeadTooLarge));

    assert_eq!(judge(&"M".repeat(64)), Err(Reason::HeadTooLarge));
    let mut parts = RequestParts::default();
    let method = "M".repeat(65);
    let long = parse_request(method.as_bytes(), &REQUEST_RULES, &mut parts);
    assert_eq!(long, Err(Rule::MethodLong.in_request()));
}

#[test]
fn the_defaults_of_the_listener_hold() {
    let judge = |text: &str| {
        let mut parts = RequestParts::default();
        parse_request(text.as_bytes(), &REQUEST_RULES, &mut parts).map_err(|cause| cause.reason)
    };
    let text = |lines: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
    assert_eq!(judge(&text(&"x: y\r\n".repeat(99))), Ok(Parsed::Complete));
    assert_eq!(judge(&text(&"x: y\r\n".repeat(100))), Err(Reason::HeadTooLarge));
    let large = "v".repeat(60 << 10);
    assert_eq!(judge(&text(&format!("x: {large}\r\n"))), Err(Reason::HeadTooLarge));
    let uri = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "u".repeat(16 << 10));
    assert_eq!(judge(&uri), Err(Reason::UriTooLong));
}

#[test]
fn parts_are_reused_and_hold_nothing_of_the_last_request() {
    let mut parts = RequestParts::default();
    let first = b"POST http://b/x?y HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    parse_request(first, &REQUEST_RULES, &mut parts).unwrap();
    let allocation = parts.fields.as_ptr();
    let second = b"GET / HTTP/1.0\r\n\r\n";
    parse_request(second, &REQUEST_RULES, &mut parts).unwrap();
    assert_eq!(parts.fields.as_ptr(), allocation);
    assert!(parts.fields.is_empty() && parts.query.is_none() && parts.authority.is_empty());
    assert_eq!(parts.framing, Framing::None);
    assert!(!parts.expect_continue && !parts.keep_alive);
}
