//! Authorities as they may stand in `Host` and in an absolute target (RFC 3986, section 3.2),
//! without user information. Knows no message.

use std::net::Ipv6Addr;

/// Longer names exist nowhere (RFC 1035); a port adds six bytes.
const MAX_NAME: usize = 253;

/// Whether an authority is a name or an address literal with an optional port.
///
/// Narrower than the grammar on purpose: percent-escapes and sub-delimiters are valid in a
/// registered name, occur nowhere, and are read differently by different servers.
pub fn is_valid(authority: &[u8]) -> bool {
    let (host, port) = split(authority);
    // One dot may close the name.
    let name = host.strip_suffix(b".").unwrap_or(host);
    port.is_none_or(|digits| self::port(digits).is_some())
        && (is_ipv6_literal(host) || is_name(name))
}

/// Host and port, where the port is what follows the last colon outside of brackets.
pub fn split(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let after_literal = if authority.first() == Some(&b'[') {
        authority.iter().position(|&byte| byte == b']').map_or(0, |at| at + 1)
    } else {
        0
    };
    match authority[after_literal..].iter().position(|&byte| byte == b':') {
        Some(colon) => {
            let colon = after_literal + colon;
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        None => (authority, None),
    }
}

/// The number that these digits write, if it is one of a port.
pub fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0u32, |sum, &digit| sum * 10 + u32::from(digit - b'0'));
    u16::try_from(number).ok().filter(|port| *port > 0)
}

/// Bytes of a name besides the dot.
const LABEL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        byte += 1;
    }
    table
};

/// Labels of letters, digits, `-` and `_`, with a dot between two. IPv4 addresses are names.
pub fn is_name(host: &[u8]) -> bool {
    let mut label_is_empty = true;
    for &byte in host {
        if !LABEL[usize::from(byte)] && (byte != b'.' || label_is_empty) {
            return false;
        }
        label_is_empty = byte == b'.';
    }
    !label_is_empty && host.len() <= MAX_NAME
}

fn is_ipv6_literal(host: &[u8]) -> bool {
    host.strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .and_then(|address| std::str::from_utf8(address).ok())
        .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_judged() {
        let good = [
            "a",
            "example.com",
            "example.com.",
            "a-b.c_d",
            "1.2.3.4",
            "EXAMPLE.com:80",
            "a:1",
            "a:65535",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::1]",
            "[::ffff:1.2.3.4]:443",
            "xn--nxasmq6b",
        ];
        for host in good {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
        let long = "a".repeat(254);
        let bad = [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a:80 ",
            "a:8x",
            "a:80:80",
            ":80",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]80",
            "[::1]:",
            "[]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[1.2.3.4]",
            "[::1]]",
            "a@b",
            "user:pw@b",
            "a b",
            "a,b",
            "a/b",
            "a?b",
            "a\\b",
            "a%41",
            "a'b",
            "ä",
            "a\tb",
            "a;b",
            "*",
            &long,
        ];
        for host in bad {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn ports_are_split_off() {
        assert_eq!(split(b"a:80"), (&b"a"[..], Some(&b"80"[..])));
        assert_eq!(split(b"[::1]:80"), (&b"[::1]"[..], Some(&b"80"[..])));
        assert_eq!(split(b"[::1]"), (&b"[::1]"[..], None));
        assert_eq!(split(b"a"), (&b"a"[..], None));
    }
}
