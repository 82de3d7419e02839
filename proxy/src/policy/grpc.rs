//! gRPC: which requests are calls, the status for each reason, and the deadline of a call.
//!
//! After <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md> and the statuses beside
//! it. Knows heads and reasons, no connections and no bodies.

use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::grpc_web::Web;
use crate::error::Reason;
use crate::message::{Fields, Known};

/// The statuses that the proxy itself sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Status {
    /// The value of `grpc-status`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Cancelled => "1",
            Self::Unknown => "2",
            Self::InvalidArgument => "3",
            Self::DeadlineExceeded => "4",
            Self::PermissionDenied => "7",
            Self::ResourceExhausted => "8",
            Self::FailedPrecondition => "9",
            Self::Unimplemented => "12",
            Self::Internal => "13",
            Self::Unavailable => "14",
            Self::Unauthenticated => "16",
        }
    }

    /// The status for a reason. `reset` is the code with which the upstream reset the stream.
    ///
    /// `UNAVAILABLE` makes clients retry: it is used if a later attempt or another endpoint may
    /// succeed.
    pub fn of(reason: Reason, reset: Option<h2::Reason>) -> Self {
        match reason {
            Reason::BadRequest
            | Reason::BadHost
            | Reason::VersionUnsupported
            | Reason::TransferCodingUnsupported
            | Reason::ExpectationFailed
            | Reason::WebSocketHandshake
            | Reason::WebSocketVersion
            | Reason::UpgradeRefused
            | Reason::ClientHelloInvalid
            | Reason::UpstreamProtocol
            | Reason::Internal => Self::Internal,
            Reason::BadPath | Reason::ContentTypeUnsupported => Self::InvalidArgument,
            Reason::Unauthenticated => Self::Unauthenticated,
            Reason::NoRoute | Reason::MethodUnsupported => Self::Unimplemented,
            Reason::UriTooLong
            | Reason::HeadTooLarge
            | Reason::BodyTooLarge
            | Reason::UpstreamHeadTooLarge => Self::ResourceExhausted,
            Reason::ClientRevoked | Reason::CorsRefused | Reason::AddressDenied => {
                Self::PermissionDenied
            }
            Reason::Misdirected => Self::FailedPrecondition,
            Reason::ClientAborted | Reason::ClientSlow => Self::Cancelled,
            Reason::HeadTimeout
            | Reason::BodyTimeout
            | Reason::UpstreamTimeout
            | Reason::UpstreamIdle
            | Reason::TunnelIdle
            | Reason::Deadline => Self::DeadlineExceeded,
            Reason::UpstreamReset | Reason::UpstreamTruncated => {
                reset.map_or(Self::Unavailable, Self::of_reset)
            }
            Reason::NoEndpoint
            | Reason::UpstreamConnectFailed
            | Reason::UpstreamConnectTimeout
            | Reason::UpstreamTlsFailed
            | Reason::UpstreamOverflow
            | Reason::PoolTimeout
            | Reason::MemoryLimit
            | Reason::AuthUnavailable
            | Reason::MaxAge
            | Reason::RouteGone
            | Reason::Draining => Self::Unavailable,
            // Said by the configuration, which has its own words.
            Reason::Redirected | Reason::Replied | Reason::Preflight => Self::Unknown,
        }
    }

    /// What a reset of a stream means ("HTTP2 Transport Mapping", errors).
    fn of_reset(code: h2::Reason) -> Self {
        match code {
            h2::Reason::CANCEL => Self::Cancelled,
            h2::Reason::REFUSED_STREAM => Self::Unavailable,
            h2::Reason::ENHANCE_YOUR_CALM => Self::ResourceExhausted,
            h2::Reason::INADEQUATE_SECURITY => Self::PermissionDenied,
            _ => Self::Internal,
        }
    }
}

/// A request that is a call of gRPC.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The deadline that the client set.
    pub deadline: Option<Instant>,
    /// The call is gRPC-Web, and is translated.
    pub web: Option<Web>,
}

impl Call {
    /// The call, if the head is one.
    pub fn of(fields: Fields<'_>, now: impl FnOnce() -> Instant) -> Option<Self> {
        let content_type = fields.known(Known::ContentType)?;
        is_grpc(content_type).then(|| Self { deadline: deadline(fields, now()), web: None })
    }

    /// A gRPC-Web call, on a route that translates them.
    pub fn of_web(fields: Fields<'_>, now: Instant) -> Option<Self> {
        let web = Web::of(fields)?;
        Some(Self { deadline: deadline(fields, now), web: Some(web) })
    }

    /// A call with nothing else known of its head.
    pub fn unread() -> Self {
        Self { deadline: None, web: None }
    }

    pub fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The content type of an answer that the proxy gives.
    pub fn content_type(&self) -> &'static [u8] {
        self.web.map_or(b"application/grpc", Web::content_type)
    }
}

/// Whether a content type is gRPC's own.
pub fn is_grpc(content_type: &[u8]) -> bool {
    suffix_behind(b"application/grpc", content_type).is_some()
}

/// What stands behind a media type of gRPC: nothing, `+` with the format of messages, or `;`
/// with parameters.
pub(super) fn suffix_behind<'a>(name: &[u8], content_type: &'a [u8]) -> Option<&'a [u8]> {
    let (front, suffix) = content_type.split_at_checked(name.len())?;
    let ends = matches!(suffix.first(), None | Some(b'+' | b';' | b' '));
    (ends && front.eq_ignore_ascii_case(name)).then_some(suffix)
}

/// The text of a reason for the client, percent-encoded as `grpc-message` requires.
pub fn message(reason: Reason) -> String {
    let mut out = String::new();
    for text in [reason.title(), " (", reason.label(), ")"] {
        for byte in text.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    out.push('%');
                    out.push(char::from(HEX[usize::from(byte >> 4)]));
                    out.push(char::from(HEX[usize::from(byte & 15)]));
                }
            }
        }
    }
    out
}

/// The trailers of a call that is broken off.
pub fn trailers(reason: Reason, reset: Option<h2::Reason>) -> HeaderMap {
    let mut map = HeaderMap::new();
    let status = HeaderValue::from_static(Status::of(reason, reset).text());
    map.insert(HeaderName::from_static("grpc-status"), status);
    if let Ok(message) = HeaderValue::try_from(message(reason)) {
        map.insert(HeaderName::from_static("grpc-message"), message);
    }
    map
}

/// The number in a `grpc-status`, of a service that may have numbers of its own.
pub fn read_status(value: &[u8]) -> Option<u32> {
    value.iter().try_fold(0_u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// An invalid value is ignored, and forwarded for the service to judge.
fn deadline(fields: Fields<'_>, now: Instant) -> Option<Instant> {
    let mut given = fields.fields.iter().filter(|field| field.known == Known::GrpcTimeout);
    let (value, None) = (given.next()?.value.of(fields.bytes), given.next()) else { return None };
    // Beyond what the clock can count there is no deadline.
    now.checked_add(parse_timeout(value)?)
}

/// The value of `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A `grpc-timeout` of at most `left`, in the finest unit that holds it.
pub fn write_timeout(left: Duration) -> SmallVec<[u8; 9]> {
    const MOST: u128 = 99_999_999;
    let (number, unit) = match (left.as_micros(), left.as_millis()) {
        (micros, _) if micros <= MOST => (micros, b'u'),
        (_, millis) if millis <= MOST => (millis, b'm'),
        _ => (u128::from(left.as_secs()).min(MOST), b'S'),
    };
    let mut out = SmallVec::new();
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(number).as_bytes());
    out.push(unit);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC+json", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web-text", false),
            ("application/grpcx", false),
            ("application/grp", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_grpc(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn timeouts() {
        let secs = Duration::from_secs;
        for (text, expected) in [
            ("1H", Some(secs(3600))),
            ("2M", Some(secs(120))),
            ("3S", Some(secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0S", Some(secs(0))),
            ("99999999H", Some(secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("1 S", None),
            (" 1S", None),
            ("+1S", None),
            ("-1S", None),
            ("1.5S", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text:?}");
        }
    }

    /// What is written is never more than what is left, and never more than one unit less.
    #[test]
    fn what_is_handed_on_is_what_is_left() {
        for nanos in [0, 1, 999, 1_000, 123_456_789, 99_999_999_999, 100_000_000_000] {
            let left = Duration::from_nanos(nanos);
            let found = parse_timeout(&write_timeout(left)).unwrap();
            assert!(
                found <= left && left - found < Duration::from_millis(1),
                "{left:?}: {found:?}"
            );
        }
        for (seconds, expected) in
            [(1, "1000000u"), (100, "100000m"), (100_000, "100000S"), (u64::MAX, "99999999S")]
        {
            assert_eq!(&write_timeout(Duration::from_secs(seconds))[..], expected.as_bytes());
        }
    }

    #[test]
    fn every_reason_that_is_answered_has_a_status_and_words() {
        for &reason in Reason::ALL {
            let text = message(reason);
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
            let status = Status::of(reason, None);
            assert_eq!(status.text(), (status as u8).to_string());
        }
    }

    #[test]
    fn a_reset_code_becomes_a_status() {
        let status = |code| Status::of(Reason::UpstreamTruncated, code);
        assert_eq!(status(None), Status::Unavailable);
        for (code, expected) in [
            (h2::Reason::CANCEL, Status::Cancelled),
            (h2::Reason::REFUSED_STREAM, Status::Unavailable),
            (h2::Reason::ENHANCE_YOUR_CALM, Status::ResourceExhausted),
            (h2::Reason::INADEQUATE_SECURITY, Status::PermissionDenied),
            (h2::Reason::INTERNAL_ERROR, Status::Internal),
            (h2::Reason::NO_ERROR, Status::Internal),
        ] {
            assert_eq!(status(Some(code)), expected, "{code:?}");
        }
        // Only where the upstream broke off does its word count.
        assert_eq!(
            Status::of(Reason::Deadline, Some(h2::Reason::CANCEL)),
            Status::DeadlineExceeded
        );
    }
}
