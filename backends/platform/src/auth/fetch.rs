//! Asking for the published keys: one GET, bounded in time and size.
//!
//! Plain HTTP/1.1 only: between services a sidecar sees to TLS.

use std::time::Duration;

use axum::http::header::{ACCEPT, CACHE_CONTROL, HOST};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::JwkSet;
use tokio::net::TcpStream;

use crate::server::StartError;

const TIMEOUT: Duration = Duration::from_secs(2);
const SIZE_LIMIT: usize = 64 * 1024;
/// How long keys are used if their publisher does not say.
const FRESH_FOR: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(5);
/// A key that was withdrawn is believed for as long.
const LONGEST: Duration = Duration::from_secs(300);

pub(super) struct KeySource {
    authority: String,
    address: (String, u16),
    path: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    #[error("no answer: {0}")]
    Http(#[source] hyper::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("an answer of status {0}")]
    Status(StatusCode),
    #[error("no usable body: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no key set: {0}")]
    Json(#[source] serde_json::Error),
}

impl KeySource {
    pub(super) fn try_new(url: &str) -> Result<Self, StartError> {
        let refused = StartError::Option {
            option: "jwks-url",
            reason: "must be an http URL, such as http://127.0.0.1:7001/.well-known/jwks.json",
        };
        let Ok(uri) = url.parse::<Uri>() else { return Err(refused) };
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refused);
        };
        if authority.as_str().contains('@') {
            return Err(refused);
        }
        // Brackets belong to a URL, not to the address in it.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = (host, authority.port_u16().unwrap_or(80));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { authority: authority.to_string(), address, path })
    }

    /// The keys, and for how long they need not be asked for again.
    pub(super) async fn fetch(&self) -> Result<(JwkSet, Duration), FetchError> {
        let fetched = tokio::time::timeout(TIMEOUT, self.fetch_unbounded()).await;
        fetched.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn fetch_unbounded(&self) -> Result<(JwkSet, Duration), FetchError> {
        let (host, port) = &self.address;
        let stream =
            TcpStream::connect((host.as_str(), *port)).await.map_err(FetchError::Connect)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(FetchError::Http)?;
        let exchange = async {
            let mut request = Request::new(Empty::<Bytes>::new());
            // A path of its own: only proxies are asked for whole URLs.
            *request.uri_mut() = self.path.parse().unwrap_or_default();
            let headers = request.headers_mut();
            if let Ok(host) = self.authority.parse() {
                headers.insert(HOST, host);
            }
            headers.insert(ACCEPT, axum::http::HeaderValue::from_static("application/json"));
            let response = sender.send_request(request).await.map_err(FetchError::Http)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let fresh_for = fresh_for(response.headers());
            let body = Limited::new(response.into_body(), SIZE_LIMIT).collect().await;
            let body = body.map_err(FetchError::Body)?.to_bytes();
            let jwks = serde_json::from_slice(&body).map_err(FetchError::Json)?;
            Ok((jwks, fresh_for))
        };
        // The connection is driven until the exchange is over, and dropped with it.
        tokio::select! {
            biased;
            exchanged = exchange => exchanged,
            Err(error) = connection => Err(FetchError::Http(error)),
        }
    }
}

/// `max-age` (RFC 9111, section 5.2.2.1), within reason.
fn fresh_for(headers: &HeaderMap) -> Duration {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let age = directives
        .flat_map(|value| value.split(','))
        .find_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok());
    age.map_or(FRESH_FOR, Duration::from_secs).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_are_fetched_from() {
        let check = |url: &str, expected: Option<(&str, u16, &str)>| {
            let source = KeySource::try_new(url).ok();
            let found = source
                .as_ref()
                .map(|source| (source.address.0.as_str(), source.address.1, source.path.as_str()));
            assert_eq!(found, expected, "{url}");
        };
        check("http://users:7001/keys", Some(("users", 7001, "/keys")));
        check("http://users", Some(("users", 80, "/")));
        check("http://[::1]:80/a?b=c", Some(("::1", 80, "/a?b=c")));
        for url in ["", "users:7001", "https://users/keys", "/keys", "http://a:b@users/keys"] {
            check(url, None);
        }
    }

    #[test]
    fn ages_are_kept_within_reason() {
        let check = |value: &str, seconds: u64| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(fresh_for(&headers), Duration::from_secs(seconds), "{value}");
        };
        check("public, max-age=15", 15);
        check("max-age=0", 5);
        check("max-age=999999", 300);
        check("max-age=soon", 60);
        check("no-cache", 60);
        assert_eq!(fresh_for(&HeaderMap::new()), FRESH_FOR);
    }
}
