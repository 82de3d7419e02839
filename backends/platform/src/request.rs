//! Who asks, across services: the request id and the trace that every log line and every call
//! made on behalf of a request carries.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const REQUEST_ID_LIMIT: usize = 128;

/// The identity of a request, in its extensions: to be sent along with whatever it causes.
#[derive(Debug, Clone)]
pub struct RequestContext {
    request_id: HeaderValue,
    traceparent: HeaderValue,
}

impl RequestContext {
    /// Takes over what the caller sent, and makes what is missing or malformed.
    pub fn of(headers: &HeaderMap) -> Self {
        let request_id = sole(headers, &REQUEST_ID).filter(|value| is_request_id(value.as_bytes()));
        let traceparent =
            sole(headers, &TRACEPARENT).filter(|value| is_traceparent(value.as_bytes()));
        Self {
            request_id: request_id.cloned().unwrap_or_else(new_request_id),
            traceparent: traceparent.cloned().unwrap_or_else(new_traceparent),
        }
    }

    /// The identity that an event carries; what is missing or malformed is made.
    pub fn from_parts(request_id: Option<&str>, traceparent: Option<&str>) -> Self {
        let header = |text: Option<&str>| text.and_then(|text| HeaderValue::from_str(text).ok());
        let request_id = header(request_id).filter(|value| is_request_id(value.as_bytes()));
        let traceparent = header(traceparent).filter(|value| is_traceparent(value.as_bytes()));
        Self {
            request_id: request_id.unwrap_or_else(new_request_id),
            traceparent: traceparent.unwrap_or_else(new_traceparent),
        }
    }

    /// A new identity, for what no request asked for: a timer's work.
    pub fn begin() -> Self {
        Self::from_parts(None, None)
    }

    /// Sets both headers: on the response, and on requests to other services.
    pub fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request_id.clone());
        headers.insert(TRACEPARENT, self.traceparent.clone());
    }

    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    pub fn traceparent(&self) -> &str {
        self.traceparent.to_str().unwrap_or_default()
    }
}

/// Two values of one header are nobody's: a new one is made.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_request_id(value: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=REQUEST_ID_LIMIT).contains(&value.len()) && value.iter().all(known)
}

/// W3C Trace Context, section 3.2: version 00 exactly, later ones by their known prefix.
fn is_traceparent(value: &[u8]) -> bool {
    let hex = |range: std::ops::Range<usize>| {
        value[range].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |range: std::ops::Range<usize>| value[range].iter().all(|byte| *byte == b'0');
    let dash = |at: usize| value[at] == b'-';
    value.len() >= 55
        && hex(0..2)
        && dash(2)
        && hex(3..35)
        && dash(35)
        && hex(36..52)
        && dash(52)
        && hex(53..55)
        && &value[..2] != b"ff"
        && !zero(3..35)
        && !zero(36..52)
        && (value.len() == 55 || (&value[..2] != b"00" && dash(55) && value.len() <= 256))
}

fn new_request_id() -> HeaderValue {
    // A version 7 id begins with the time, so that logs sort by it.
    ascii(Uuid::now_v7().to_string())
}

fn new_traceparent() -> HeaderValue {
    let (trace, span) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u128());
    // A random UUID has six fixed bits, some of them ones in either half: neither id is zero.
    // Flags 01: whoever made no trace cannot have asked not to sample it.
    ascii(format!("00-{trace:032x}-{:016x}-01", span >> 64))
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn context(pairs: &[(&HeaderName, &str)]) -> RequestContext {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        RequestContext::of(&headers)
    }

    #[test]
    fn what_the_caller_sent_is_kept_if_it_is_well_formed() {
        let check = |name: &HeaderName, value: &str, kept: bool| {
            let context = context(&[(name, value)]);
            let found =
                if name == REQUEST_ID { context.request_id() } else { context.traceparent() };
            assert_eq!(found == value, kept, "{name}: {value:?}");
        };
        check(&REQUEST_ID, "a", true);
        check(&REQUEST_ID, "0192-abc_D.e:f/g+h=", true);
        check(&REQUEST_ID, &"a".repeat(128), true);
        check(&REQUEST_ID, &"a".repeat(129), false);
        check(&REQUEST_ID, "", false);
        check(&REQUEST_ID, "two words", false);
        check(&REQUEST_ID, "\"quoted\"", false);
        check(&TRACEPARENT, PARENT, true);
        check(&TRACEPARENT, &PARENT.to_uppercase(), false);
        check(&TRACEPARENT, &PARENT[..54], false);
        check(&TRACEPARENT, &format!("{PARENT}-00"), false);
        check(&TRACEPARENT, &format!("01{}-extra", &PARENT[2..]), true);
        check(&TRACEPARENT, &format!("01{}extra", &PARENT[2..]), false);
        check(&TRACEPARENT, &format!("ff{}", &PARENT[2..]), false);
        check(&TRACEPARENT, &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)), false);
        let no_trace = PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        check(&TRACEPARENT, &no_trace, false);
        check(&TRACEPARENT, &PARENT.replace('-', "_"), false);
    }

    #[test]
    fn two_values_are_replaced_by_a_new_one() {
        let context = context(&[(&REQUEST_ID, "a"), (&REQUEST_ID, "b")]);
        assert!(!["a", "b"].contains(&context.request_id()));
    }

    #[test]
    fn what_is_made_is_well_formed_and_new_each_time() {
        let (one, two) = (context(&[]), context(&[]));
        assert!(is_request_id(one.request_id.as_bytes()));
        assert!(is_traceparent(one.traceparent.as_bytes()));
        assert_ne!(one.request_id(), two.request_id());
        assert_ne!(one.traceparent(), two.traceparent());
    }
}
