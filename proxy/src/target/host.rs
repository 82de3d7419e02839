//! The one host that routing and redirects agree on: lower case, no port, no trailing dot.
//!
//! An IPv6 literal keeps its brackets and is written as RFC 5952 says. Letters, digits, `-`, `_`
//! and `.` are all a host may hold; anything else has no business in a header or a URL that the
//! proxy writes. This module knows no route and no certificate.

use std::io::Write as _;
use std::net::Ipv6Addr;

use crate::cause::Rule;
use crate::http1::host;

/// A host and the port that was written behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Empty when the client (HTTP/1.0) named none.
    pub host: &'a [u8],
    pub port: Option<u16>,
}

/// Takes an authority apart; the host is borrowed when it is in its normal form already, else
/// built in `scratch`.
///
/// # Errors
/// [`Rule::HostForm`] when host or port break the rules above.
pub fn normalise<'a>(authority: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Authority<'a>, Rule> {
    if authority.first() == Some(&b'[') {
        return literal(authority, scratch);
    }
    let (host, port) = host::split(authority);
    let port = port.map_or(Ok(None), parse_port)?;
    if host.is_empty() {
        // A port alone is not a host.
        return if authority.is_empty() {
            Ok(Authority { host, port: None })
        } else {
            Err(Rule::HostForm)
        };
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    if !host::is_name(host) {
        return Err(Rule::HostForm);
    }
    if !host.iter().any(u8::is_ascii_uppercase) {
        return Ok(Authority { host, port });
    }
    scratch.clear();
    scratch.extend(host.iter().map(u8::to_ascii_lowercase));
    Ok(Authority { host: scratch, port })
}

/// Each shorter suffix of a host at a label boundary: `b.c` and `c` of `a.b.c`.
pub fn parents(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    // A literal address has no parents.
    let host = if host.first() == Some(&b'[') { &[][..] } else { host };
    memchr::memchr_iter(b'.', host).map(move |dot| &host[dot + 1..])
}

fn literal<'a>(authority: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Authority<'a>, Rule> {
    let close = memchr::memchr(b']', authority).ok_or(Rule::HostForm)?;
    let address: Ipv6Addr = std::str::from_utf8(&authority[1..close])
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Rule::HostForm)?;
    let port = match &authority[close + 1..] {
        [] => None,
        [b':', digits @ ..] => parse_port(digits)?,
        _ => return Err(Rule::HostForm),
    };
    scratch.clear();
    // Writing to memory does not fail.
    let _ = write!(scratch, "[{address}]");
    Ok(Authority { host: scratch, port })
}

fn parse_port(digits: &[u8]) -> Result<Option<u16>, Rule> {
    if digits.is_empty() {
        return Ok(None);
    }
    host::port(digits).map(Some).ok_or(Rule::HostForm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(authority: &str, expected: Option<(&str, Option<u16>)>) {
        let mut scratch = Vec::new();
        let got = normalise(authority.as_bytes(), &mut scratch).ok();
        let got = got.map(|it| (String::from_utf8_lossy(it.host).into_owned(), it.port));
        assert_eq!(got, expected.map(|(host, port)| (host.to_owned(), port)), "{authority:?}");
    }

    #[test]
    fn hosts_are_brought_to_one_form() {
        for (authority, host, port) in [
            ("", "", None),
            ("example.com", "example.com", None),
            ("EXAMPLE.com", "example.com", None),
            ("example.com.", "example.com", None),
            ("Example.Com.:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("example.com:65535", "example.com", Some(65535)),
            ("a_b-c.local", "a_b-c.local", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("localhost", "localhost", None),
            ("[::1]", "[::1]", None),
            ("[0:0::0:1]:443", "[::1]", Some(443)),
            ("[2001:DB8::A]", "[2001:db8::a]", None),
            ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", None),
        ] {
            check(authority, Some((host, port)));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for authority in [
            ".",
            "..",
            ".a",
            "a..b",
            "a.b..",
            ":80",
            "a:b",
            "a:99999",
            "a:0",
            "a:123456",
            "a:-1",
            "a:1:2",
            "user@a",
            "a/b",
            "a\\b",
            "a b",
            "a\tb",
            "a\r\nb",
            "a?b",
            "a#b",
            "a,b",
            "a%41",
            "b\u{fc}cher",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "*.a",
            "a;b",
            "\"a\"",
            "<a>",
            "a\0",
        ] {
            check(authority, None);
        }
        check(&"a".repeat(253), Some((&"a".repeat(253), None)));
        check(&"a".repeat(254), None);
    }

    #[test]
    fn parents_are_the_shorter_suffixes() {
        let all = |host: &'static str| parents(host.as_bytes()).collect::<Vec<_>>();
        assert_eq!(all("a.b.c"), [&b"b.c"[..], b"c"]);
        assert!(all("a").is_empty());
        assert!(all("[::ffff:1.2.3.4]").is_empty());
    }
}
