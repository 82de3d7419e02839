//! Which names the engine itself looks for.

use crate::message::Known;

/// Tells a name, which is a token, apart in any case. Length and first byte leave one candidate,
/// or none.
pub fn known(name: &[u8]) -> Known {
    let Some(first) = name.first() else { return Known::Other };
    let (candidate, known): (&[u8], Known) = match (name.len(), first.to_ascii_lowercase()) {
        (2, b't') => (b"te", Known::Te),
        (4, b'h') => (b"host", Known::Host),
        (4, b'd') => (b"date", Known::Date),
        (6, b'c') => (b"cookie", Known::Cookie),
        (6, b'e') => (b"expect", Known::Expect),
        (6, b's') => (b"server", Known::Server),
        (7, b'u') => (b"upgrade", Known::Upgrade),
        (7, b't') => (b"trailer", Known::Trailer),
        (9, b'f') => (b"forwarded", Known::Forwarded),
        (10, b'c') => (b"connection", Known::Connection),
        (10, b'k') => (b"keep-alive", Known::KeepAlive),
        (10, b't') => (b"tracestate", Known::Tracestate),
        (11, b't') => (b"traceparent", Known::Traceparent),
        (12, b'c') => (b"content-type", Known::ContentType),
        (12, b'x') => (b"x-request-id", Known::XRequestId),
        (12, b'g') => (b"grpc-timeout", Known::GrpcTimeout),
        (14, b'c') => (b"content-length", Known::ContentLength),
        (15, b'x') => (b"x-forwarded-for", Known::XForwardedFor),
        (16, b'p') => (b"proxy-connection", Known::ProxyConnection),
        (16, b'x') if name[12].eq_ignore_ascii_case(&b'p') => {
            (b"x-forwarded-port", Known::XForwardedPort)
        }
        (16, b'x') => (b"x-forwarded-host", Known::XForwardedHost),
        (17, b't') => (b"transfer-encoding", Known::TransferEncoding),
        (17, b'x') => (b"x-forwarded-proto", Known::XForwardedProto),
        (23, b'x') => (b"x-forwarded-client-cert", Known::XForwardedClientCert),
        _ => return claim(name),
    };
    if is_same(name, candidate) { known } else { claim(name) }
}

/// Whether a token is a name as long, which is in lower case with dashes. Eight bytes are compared
/// at once: with its sixth bit set, no other byte of a token is a small letter or a dash.
fn is_same(name: &[u8], wanted: &[u8]) -> bool {
    const CASE: u64 = u64::MAX / 255 * 0x20;
    let folded = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk) | CASE;
    let ((words, _), (wanted_words, _)) = (name.as_chunks::<8>(), wanted.as_chunks::<8>());
    match (name.last_chunk::<8>(), wanted.last_chunk::<8>()) {
        (Some(last), Some(wanted_last)) => {
            folded(last) == folded(wanted_last)
                && words.iter().zip(wanted_words).all(|(a, b)| folded(a) == folded(b))
        }
        _ => name.eq_ignore_ascii_case(wanted),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::KnownSet;

    #[test]
    fn names_are_recognised_in_any_case() {
        for (name, expected) in [
            ("te", Known::Te),
            ("host", Known::Host),
            ("date", Known::Date),
            ("cookie", Known::Cookie),
            ("expect", Known::Expect),
            ("server", Known::Server),
            ("upgrade", Known::Upgrade),
            ("trailer", Known::Trailer),
            ("forwarded", Known::Forwarded),
            ("connection", Known::Connection),
            ("keep-alive", Known::KeepAlive),
            ("tracestate", Known::Tracestate),
            ("traceparent", Known::Traceparent),
            ("content-type", Known::ContentType),
            ("x-request-id", Known::XRequestId),
            ("grpc-timeout", Known::GrpcTimeout),
            ("content-length", Known::ContentLength),
            ("x-forwarded-for", Known::XForwardedFor),
            ("x-forwarded-host", Known::XForwardedHost),
            ("x-forwarded-port", Known::XForwardedPort),
            ("proxy-connection", Known::ProxyConnection),
            ("x-forwarded-proto", Known::XForwardedProto),
            ("transfer-encoding", Known::TransferEncoding),
            ("x-forwarded-client-cert", Known::XForwardedClientCert),
            ("x-real-ip", Known::OtherClaim),
            ("x-forwarded-path", Known::OtherClaim),
            ("hosts", Known::Other),
            ("ho", Known::Other),
            ("x-forwardec-port", Known::Other),
            ("", Known::Other),
        ] {
            assert_eq!(known(name.as_bytes()), expected, "{name}");
            assert_eq!(known(name.to_ascii_uppercase().as_bytes()), expected, "{name}");
        }
    }

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
