//! What the proxy tells an upstream of the client, and what no client may say of itself.
//!
//! No hop is trusted yet, so every claim of a client is dropped and the values are written
//! fresh. Once trusted proxies exist they are an argument here; nothing else changes.

use std::io::Write as _;
use std::net::IpAddr;

use super::headers::PreparedEdits;
use super::request_id::RequestId;

/// What is told of a request.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    pub tls: bool,
    /// As the client sent it, with its port; checked to be a host before.
    pub authority: &'a [u8],
    pub request_id: RequestId,
}

/// Whether a client's field is a claim that only a trusted hop may make: `forwarded`,
/// `x-forwarded-*` (client certificates with it), `x-real-ip`, `x-request-id`. Servers that turn
/// names into variables read `_` as `-`, so both are one here.
pub fn is_claim(name: &[u8]) -> bool {
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

/// Appends the lines for the upstream, leaving out those that the route removes or sets itself.
pub fn write(out: &mut Vec<u8>, told: &Forwarded<'_>, edits: &PreparedEdits) {
    if let Some(peer) = told.peer
        && !edits.removes(b"x-forwarded-for")
    {
        // On a dual-stack socket an IPv4 client has a mapped address; writing to memory does
        // not fail.
        let _ = write!(out, "x-forwarded-for: {}\r\n", peer.to_canonical());
    }
    if !edits.removes(b"x-forwarded-proto") {
        out.extend_from_slice(if told.tls {
            b"x-forwarded-proto: https\r\n"
        } else {
            b"x-forwarded-proto: http\r\n"
        });
    }
    if !told.authority.is_empty() && !edits.removes(b"x-forwarded-host") {
        out.extend_from_slice(b"x-forwarded-host: ");
        out.extend_from_slice(told.authority);
        out.extend_from_slice(b"\r\n");
    }
    if !edits.removes(b"x-request-id") {
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(told.request_id.as_bytes());
        out.extend_from_slice(b"\r\n");
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

#[cfg(test)]
mod tests {
    use portcullis_config::model::HeaderEdits;
    use portcullis_config::values::HeaderName;

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

    fn told(peer: Option<&str>, tls: bool, authority: &'static str) -> Forwarded<'static> {
        Forwarded {
            peer: peer.map(|it| it.parse().unwrap()),
            tls,
            authority: authority.as_bytes(),
            request_id: RequestId::from_random(0),
        }
    }

    fn written(told: &Forwarded<'_>, edits: &PreparedEdits) -> String {
        let mut out = Vec::new();
        write(&mut out, told, edits);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_fresh() {
        let none = PreparedEdits::default();
        assert_eq!(
            written(&told(Some("::ffff:192.0.2.1"), true, "a.example:8443"), &none),
            "x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n\
             x-forwarded-host: a.example:8443\r\n\
             x-request-id: 00000000-0000-4000-8000-000000000000\r\n"
        );
        assert_eq!(
            written(&told(None, false, ""), &none),
            "x-forwarded-proto: http\r\nx-request-id: 00000000-0000-4000-8000-000000000000\r\n"
        );
        assert!(
            written(&told(Some("2001:db8::1"), false, ""), &none)
                .starts_with("x-forwarded-for: 2001:db8::1\r\n")
        );
    }

    #[test]
    fn a_route_can_keep_them_back() {
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"];
        let remove = names.iter().map(|it| HeaderName::parse(it).unwrap()).collect();
        let edits = HeaderEdits { remove, ..HeaderEdits::default() };
        let edits = PreparedEdits::compile(&edits).unwrap();
        assert_eq!(written(&told(Some("192.0.2.1"), true, "a"), &edits), "");
    }
}
