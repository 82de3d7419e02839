//! HTTP as any client speaks it to the gateway: requests, replies, and how often to try.
//!
//! It knows nothing of the shop.

pub(crate) mod client;
pub(crate) mod dial;
pub(crate) mod patience;
pub(crate) mod target;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::Full;

use target::Target;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// By which its requests are told from others in the access log.
pub(crate) const AGENT: &str = "shop-simulator";
/// What stands in for a request id that nobody gave.
const NO_ID: &str = "-";

/// A request, to be sent as often as it needs. It holds a token, and does not print.
#[derive(Clone)]
pub(crate) struct Request {
    method: Method,
    path: String,
    token: Option<String>,
    key: Option<String>,
    wait: Option<Duration>,
    content_type: Option<&'static str>,
    body: Bytes,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into())
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path.into())
    }

    fn new(method: Method, path: String) -> Self {
        let (token, key, wait, content_type) = (None, None, None, None);
        Self { method, path, token, key, wait, content_type, body: Bytes::new() }
    }

    pub(crate) fn json(mut self, body: &serde_json::Value) -> Self {
        self.content_type = Some("application/json");
        self.body = body.to_string().into();
        self
    }

    /// As forms of the web are sent.
    pub(crate) fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        self.content_type = Some("application/x-www-form-urlencoded");
        self.body = fields.join("&").into();
        self
    }

    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The same for each repetition of one write.
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// How long the server may keep the answer back for something better.
    pub(crate) fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// As it goes out; `None` for a text in it that no header or path can carry.
    fn message(&self, target: &Target) -> Option<http::Request<Full<Bytes>>> {
        let mut message = http::Request::new(Full::new(self.body.clone()));
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.path.parse().ok()?;
        let value = |text: String| HeaderValue::try_from(text).ok();
        let headers = message.headers_mut();
        headers.insert(HOST, value(target.authority())?);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, value(format!("Bearer {token}"))?);
        }
        if let Some(key) = &self.key {
            headers.insert(IDEMPOTENCY_KEY, value(format!("\"{key}\""))?);
        }
        if let Some(wait) = self.wait {
            headers.insert(PREFER, value(format!("wait={}", wait.as_secs()))?);
        }
        if let Some(content_type) = self.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Some(message)
    }
}

/// Whatever is not unreserved (RFC 3986, section 2.3), as `%XX`.
pub(crate) fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn request_id(&self) -> &str {
        let id = self.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        id.unwrap_or(NO_ID)
    }

    /// Seconds; a date, which nobody in the shop sends, is as good as absent.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        text.parse().ok().map(Duration::from_secs)
    }

    /// The word that programs compare: `code` of a service's problem, `reason` of the gateway's.
    pub(crate) fn code(&self) -> Option<String> {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let word = problem.get("code").or_else(|| problem.get("reason"))?;
        Some(word.as_str()?.chars().take(64).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(headers: &[(HeaderName, &'static str)], body: &'static str) -> Reply {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        Reply {
            status: StatusCode::OK,
            headers: headers.collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_request_says_who_asks_and_for_what() {
        let target: Target = "https://shop.example:8443".parse().unwrap();
        let body = serde_json::json!({"a": 1});
        let request = Request::post("/v1/orders")
            .json(&body)
            .token("t")
            .key("k-1")
            .wait(Duration::from_secs(5));
        let message = request.message(&target).unwrap();
        let header = |name: &str| message.headers()[name].to_str().unwrap();
        assert_eq!((message.method(), message.uri().path()), (&Method::POST, "/v1/orders"));
        assert_eq!(header("host"), "shop.example:8443");
        assert_eq!(header("authorization"), "Bearer t");
        assert_eq!(header("idempotency-key"), "\"k-1\"");
        assert_eq!(header("prefer"), "wait=5");
        assert_eq!(header("content-type"), "application/json");
        assert!(Request::get("/a b").message(&target).is_none());
        assert!(Request::get("/").token("a\nb").message(&target).is_none());
    }

    #[test]
    fn a_problem_names_itself_whoever_wrote_it() {
        let check = |body, expected: Option<&str>| {
            assert_eq!(reply(&[], body).code().as_deref(), expected, "{body}");
        };
        check(r#"{"code": "busy", "status": 503}"#, Some("busy"));
        check(r#"{"reason": "no-endpoint"}"#, Some("no-endpoint"));
        check(r#"{"code": 7}"#, None);
        check("upstream failed", None);
        check("", None);
    }

    #[test]
    fn a_server_may_say_when_to_come_again() {
        let check = |headers: &[(HeaderName, &'static str)], seconds: Option<u64>| {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(reply(headers, "").retry_after(), expected, "{headers:?}");
        };
        check(&[], None);
        check(&[(RETRY_AFTER, "3")], Some(3));
        check(&[(RETRY_AFTER, "-3")], None);
        check(&[(RETRY_AFTER, "Fri, 31 Dec 1999 23:59:59 GMT")], None);
        assert_eq!(reply(&[], "").request_id(), NO_ID);
        assert_eq!(reply(&[(REQUEST_ID, "r-7")], "").request_id(), "r-7");
    }

    #[test]
    fn values_are_escaped() {
        let check = |text, expected: &str| assert_eq!(escaped(text), expected);
        check("az AZ09-._~", "az%20AZ09-._~");
        check("keys:rotate&a=b+ä", "keys%3Arotate%26a%3Db%2B%C3%A4");
    }
}
