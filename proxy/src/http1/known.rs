//! Which names the engine itself looks for, and sets of them. Knows no message.

use crate::message::Known;

/// Tells a name apart, in any case.
pub fn known(name: &[u8]) -> Known {
    let (candidates, known): (&[&[u8]], &[Known]) = match name.len() {
        2 => (&[b"te"], &[Known::Te]),
        4 => (&[b"host", b"date"], &[Known::Host, Known::Date]),
        6 => (&[b"cookie", b"expect", b"server"], &[Known::Cookie, Known::Expect, Known::Server]),
        7 => (&[b"upgrade", b"trailer"], &[Known::Upgrade, Known::Trailer]),
        9 => (&[b"forwarded"], &[Known::Forwarded]),
        10 => (
            &[b"connection", b"keep-alive", b"tracestate"],
            &[Known::Connection, Known::KeepAlive, Known::Tracestate],
        ),
        11 => (&[b"traceparent"], &[Known::Traceparent]),
        12 => (
            &[b"content-type", b"x-request-id", b"grpc-timeout"],
            &[Known::ContentType, Known::XRequestId, Known::GrpcTimeout],
        ),
        14 => (&[b"content-length"], &[Known::ContentLength]),
        15 => (&[b"x-forwarded-for"], &[Known::XForwardedFor]),
        16 => (
            &[b"proxy-connection", b"x-forwarded-host", b"x-forwarded-port"],
            &[Known::ProxyConnection, Known::XForwardedHost, Known::XForwardedPort],
        ),
        17 => (
            &[b"transfer-encoding", b"x-forwarded-proto"],
            &[Known::TransferEncoding, Known::XForwardedProto],
        ),
        23 => return long(name),
        _ => return claim(name),
    };
    let found = candidates.iter().position(|candidate| name.eq_ignore_ascii_case(candidate));
    found.map_or_else(|| claim(name), |index| known[index])
}

fn long(name: &[u8]) -> Known {
    if name.eq_ignore_ascii_case(b"x-forwarded-client-cert") {
        Known::XForwardedClientCert
    } else {
        claim(name)
    }
}

fn claim(name: &[u8]) -> Known {
    if is_claim(name) { Known::OtherClaim } else { Known::Other }
}

/// Whether a client's field is a claim that only a trusted hop may make: `forwarded`,
/// `x-forwarded-*` (client certificates with it), `x-real-ip`, `x-request-id`. Servers that turn
/// names into variables read `_` as `-`, so both are one here.
fn is_claim(name: &[u8]) -> bool {
    // Nearly every field is let go by its first byte.
    match name.first() {
        Some(b'x' | b'X') => {
            starts_like(name, b"x-forwarded-")
                || is_like(name, b"x-real-ip")
                || is_like(name, b"x-request-id")
        }
        Some(b'f' | b'F') => is_like(name, b"forwarded"),
        _ => false,
    }
}

fn starts_like(name: &[u8], wanted: &[u8]) -> bool {
    name.len() >= wanted.len() && is_like(&name[..wanted.len()], wanted)
}

/// `wanted` is in lower case with dashes.
fn is_like(name: &[u8], wanted: &[u8]) -> bool {
    let like = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == wanted.len() && name.iter().zip(wanted).all(|(byte, it)| like(*byte) == *it)
}

/// A set of names that the engine knows. [`Known::Other`] is never in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSet(u32);

impl KnownSet {
    pub const EMPTY: Self = Self(0);

    pub const fn of(names: &[Known]) -> Self {
        let mut set = Self::EMPTY;
        let mut index = 0;
        while index < names.len() {
            set = set.with(names[index]);
            index += 1;
        }
        set
    }

    #[must_use]
    pub const fn with(self, known: Known) -> Self {
        match known {
            Known::Other => self,
            known => Self(self.0 | 1 << known as u32),
        }
    }

    #[must_use]
    pub const fn without(self, known: Known) -> Self {
        Self(self.0 & !(1 << known as u32))
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn contains(self, known: Known) -> bool {
        self.0 & 1 << known as u32 != 0
    }

    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_known_in_any_case_and_with_underscores() {
        for name in [
            "x-forwarded-for",
            "X-Forwarded-For",
            "X_FORWARDED_FOR",
            "x-forwarded_for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "X-Forwarded-Client-Cert",
            "x_forwarded_client_cert",
            "x-forwarded-user",
            "forwarded",
            "FORWARDED",
            "x-real-ip",
            "X_Real_IP",
            "x-request-id",
            "X-Request_Id",
        ] {
            assert!(is_claim(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "x",
            "f",
            "x-forwarded",
            "forwarded-for",
            "forwardedx",
            "xforwarded-for",
            "x-request-id2",
            "x-real-ipx",
            "host",
            "from",
            "accept",
            "x-channel",
        ] {
            assert!(!is_claim(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_are_known_in_any_case() {
        let names = [
            ("host", Known::Host),
            ("Connection", Known::Connection),
            ("CONTENT-LENGTH", Known::ContentLength),
            ("Transfer-Encoding", Known::TransferEncoding),
            ("keep-alive", Known::KeepAlive),
            ("proxy-connection", Known::ProxyConnection),
            ("tE", Known::Te),
            ("trailer", Known::Trailer),
            ("upgrade", Known::Upgrade),
            ("expect", Known::Expect),
            ("cookie", Known::Cookie),
            ("date", Known::Date),
            ("server", Known::Server),
            ("x-forwarded-for", Known::XForwardedFor),
            ("x-forwarded-proto", Known::XForwardedProto),
            ("x-forwarded-host", Known::XForwardedHost),
            ("forwarded", Known::Forwarded),
            ("X-Request-ID", Known::XRequestId),
            ("x-forwarded-port", Known::XForwardedPort),
            ("Traceparent", Known::Traceparent),
            ("tracestate", Known::Tracestate),
            ("x-forwarded-client-cert", Known::XForwardedClientCert),
            ("hosts", Known::Other),
            ("x-forwarded-for_", Known::OtherClaim),
            ("", Known::Other),
        ];
        for (name, expected) in names {
            assert_eq!(known(name.as_bytes()), expected, "{name}");
            let set = KnownSet::of(&[expected]);
            assert_eq!(set.contains(expected), expected != Known::Other, "{name}");
            assert!(set.without(expected).is_empty());
        }
    }
}
