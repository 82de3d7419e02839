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
        10 => (&[b"connection", b"keep-alive"], &[Known::Connection, Known::KeepAlive]),
        12 => (&[b"x-request-id"], &[Known::XRequestId]),
        14 => (&[b"content-length"], &[Known::ContentLength]),
        15 => (&[b"x-forwarded-for"], &[Known::XForwardedFor]),
        16 => (
            &[b"proxy-connection", b"x-forwarded-host"],
            &[Known::ProxyConnection, Known::XForwardedHost],
        ),
        17 => (
            &[b"transfer-encoding", b"x-forwarded-proto"],
            &[Known::TransferEncoding, Known::XForwardedProto],
        ),
        23 => return long(name),
        _ => return Known::Other,
    };
    let found = candidates.iter().position(|candidate| name.eq_ignore_ascii_case(candidate));
    found.map_or(Known::Other, |index| known[index])
}

fn long(name: &[u8]) -> Known {
    if name.eq_ignore_ascii_case(b"x-forwarded-client-cert") {
        Known::XForwardedClientCert
    } else {
        Known::Other
    }
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

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("x-forwarded-client-cert", Known::XForwardedClientCert),
            ("hosts", Known::Other),
            ("x-forwarded-for_", Known::Other),
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
