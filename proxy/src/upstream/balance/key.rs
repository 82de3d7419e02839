//! What a request is recognised by: the hash that ties it to an endpoint.

use std::net::IpAddr;

use portcullis_config::model::HashKey;

use crate::message::RequestHead;
use crate::upstream::hash;

/// What a pick may look at besides the endpoints.
#[derive(Debug, Clone, Copy, Default)]
pub struct PickKey {
    /// For ring-hash and maglev, from [`hash_of`]; without it they pick at random.
    pub hash: Option<u64>,
    /// The endpoint that a sticky cookie names; goes before any policy.
    pub sticky: Option<u64>,
}

/// The hash of what the policy keys by; `None` when the request does not have it. The same in
/// every process.
pub fn hash_of(key: &HashKey, head: &RequestHead<'_>, peer: IpAddr) -> Option<u64> {
    match key {
        HashKey::Header(name) => Some(hash::stable(&[head.fields().first(name.as_str())?])),
        HashKey::Cookie(name) => Some(hash::stable(&[head.fields().cookie(name)?])),
        HashKey::Query(name) => Some(hash::stable(&[query(head.query()?, name.as_bytes())?])),
        HashKey::Path => Some(hash::stable(&[head.path()])),
        HashKey::SourceIp => hash_of_peer(key, peer),
    }
}

/// The same where there is no request: only its address tells a client from others.
pub fn hash_of_peer(key: &HashKey, peer: IpAddr) -> Option<u64> {
    if *key != HashKey::SourceIp {
        return None;
    }
    Some(match peer.to_canonical() {
        IpAddr::V4(address) => hash::stable(&[&address.octets()]),
        IpAddr::V6(address) => hash::stable(&[&address.octets()]),
    })
}

/// The value of the first parameter of that name, as it was written.
fn query<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|byte| *byte == b'&').find_map(|pair| match pair.strip_prefix(name)? {
        [] => Some(&[][..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Field, Known, RequestParts, Span};
    use portcullis_config::values::HeaderName;

    /// A head that says only what the cases need: a target and header lines.
    fn with_head<T>(
        path: &str,
        query: Option<&str>,
        lines: &[(&str, &str)],
        read: impl FnOnce(&RequestHead<'_>) -> T,
    ) -> T {
        let mut bytes = Vec::new();
        let mut put = |text: &str| {
            let start = u32::try_from(bytes.len()).unwrap();
            bytes.extend_from_slice(text.as_bytes());
            Span { start, end: u32::try_from(bytes.len()).unwrap() }
        };
        let mut parts =
            RequestParts { path: put(path), query: query.map(&mut put), ..Default::default() };
        for (name, value) in lines {
            let known =
                if name.eq_ignore_ascii_case("cookie") { Known::Cookie } else { Known::Other };
            parts.fields.push(Field { name: put(name), value: put(value), known });
        }
        read(&RequestHead { bytes: &bytes, parts: &parts })
    }

    fn check(
        key: &HashKey,
        path: &str,
        query: Option<&str>,
        lines: &[(&str, &str)],
        expected: Option<&[u8]>,
    ) {
        let peer = "192.0.2.7".parse().unwrap();
        let found = with_head(path, query, lines, |head| hash_of(key, head, peer));
        let expected = expected.map(|value| hash::stable(&[value]));
        assert_eq!(found, expected, "{key:?} {path} {query:?} {lines:?}");
    }

    #[test]
    fn each_key_finds_its_value() {
        let header = HashKey::Header(HeaderName::parse("X-User").unwrap());
        check(&header, "/", None, &[("x-USER", "ann")], Some(b"ann"));
        check(&header, "/", None, &[("x-user", "")], Some(b""));
        check(&header, "/", None, &[("x-users", "ann")], None);

        let cookie = HashKey::Cookie("sid".to_owned());
        check(&cookie, "/", None, &[("cookie", "a=b; sid=42; c=d")], Some(b"42"));
        check(
            &cookie,
            "/",
            None,
            &[("cookie", "a=sid; xsid=1"), ("cookie", "sid=\"7\"")],
            Some(b"7"),
        );
        check(&cookie, "/", None, &[("cookie", "sidx=1;sid")], None);
        check(&cookie, "/", None, &[("x-cookie", "sid=1")], None);

        let query = HashKey::Query("u".to_owned());
        check(&query, "/", Some("a=1&u=x%20y&u=z"), &[], Some(b"x%20y"));
        check(&query, "/", Some("u"), &[], Some(b""));
        check(&query, "/", Some("ux=1"), &[], None);
        check(&query, "/", None, &[], None);

        check(&HashKey::Path, "/a/b", Some("c"), &[], Some(b"/a/b"));
        check(&HashKey::SourceIp, "/", None, &[], Some(&[192, 0, 2, 7]));
    }

    #[test]
    fn a_mapped_source_is_the_same_client() {
        let hash = |peer: &str| {
            with_head("/", None, &[], |head| {
                hash_of(&HashKey::SourceIp, head, peer.parse().unwrap())
            })
        };
        assert_eq!(hash("::ffff:192.0.2.7"), hash("192.0.2.7"));
        assert_ne!(hash("2001:db8::1"), hash("2001:db8::2"));
    }
}
