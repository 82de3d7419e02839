//! The request of a question, as a client would send it: read by the code that reads requests.
//!
//! It is written out in the protocol that was asked for and parsed under the listener's rules, so
//! that a head which the server refuses is refused here for the same reason.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Uri, request};
use portcullis_config::values::{HeaderName, MethodName};

use super::{ExplainError, ExplainRequest};
use crate::cause::{Cause, Rule};
use crate::http1::request::{Parsed, RequestRules, parse_request};
use crate::http2::connect;
use crate::http2::head::incoming_request;
use crate::message::{RequestHead, RequestParts};
use crate::policy::grpc::{Call, is_grpc};
use crate::policy::reply::is_field_value;

/// A URL taken apart.
pub(super) struct Url<'a> {
    pub(super) tls: Option<bool>,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

impl<'a> Url<'a> {
    pub(super) fn parse(url: &'a str) -> Result<Self, ExplainError> {
        let (tls, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (Some(true), rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (Some(false), rest)
        } else if url.starts_with('/') || url == "*" {
            (None, url)
        } else {
            return Err(ExplainError::Url(url.to_owned()));
        };
        let (authority, target) = match (tls, rest.find(['/', '?'])) {
            (None, _) => ("", rest),
            (Some(_), Some(at)) => rest.split_at(at),
            (Some(_), None) => (rest, ""),
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Ok(Self { tls, authority, path, query })
    }

    pub(super) fn port(&self) -> Option<u16> {
        let written = self.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        written.or(self.tls.map(|tls| if tls { 443 } else { 80 }))
    }

    /// The name that a client would ask for in its handshake: no address has one.
    pub(super) fn server_name(&self) -> Option<&'a str> {
        let host = self.authority.rsplit_once(':').map_or(self.authority, |(host, _)| host);
        let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        (!host.is_empty() && !is_address).then_some(host)
    }

    /// What a client writes in its request line: no path at all is the root.
    fn target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { self.path };
        match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}

/// The head of a request that was read, or refused while it was read.
pub(super) struct Read {
    bytes: Vec<u8>,
    parts: RequestParts,
    pub(super) refused: Option<Cause>,
    /// A refused head that says that it is a call of gRPC.
    pub(super) call: Option<Call>,
}

impl Read {
    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead { bytes: &self.bytes, parts: &self.parts }
    }
}

/// Sends the request on paper. A path alone is a request of HTTP/1.0, which need name no host.
pub(super) fn read(
    question: &ExplainRequest<'_>,
    url: &Url<'_>,
    rules: &RequestRules,
) -> Result<Read, ExplainError> {
    check(question)?;
    if question.http2 { read_http2(question, url, rules) } else { read_http1(question, url, rules) }
}

fn check(question: &ExplainRequest<'_>) -> Result<(), ExplainError> {
    if MethodName::parse(question.method).is_err() {
        return Err(ExplainError::Method(question.method.to_owned()));
    }
    for (name, value) in question.headers {
        let is_pseudo = question.http2 && name == PROTOCOL;
        if !(is_pseudo || HeaderName::parse(name).is_ok()) || !is_field_value(value) {
            return Err(ExplainError::Header(name.clone()));
        }
    }
    Ok(())
}

/// What a CONNECT of HTTP/2 is for (RFC 8441).
const PROTOCOL: &str = ":protocol";

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}

fn read_http1(
    question: &ExplainRequest<'_>,
    url: &Url<'_>,
    rules: &RequestRules,
) -> Result<Read, ExplainError> {
    let named = question.headers.iter().any(|(name, _)| is_host(name));
    let version = if named || !url.authority.is_empty() { "1.1" } else { "1.0" };
    let mut text = format!("{} {} HTTP/{version}\r\n", question.method, url.target());
    if !named && !url.authority.is_empty() {
        text.push_str(&format!("host: {}\r\n", url.authority));
    }
    for (name, value) in question.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let bytes = text.into_bytes();
    let mut parts = RequestParts::default();
    let refused = match parse_request(&bytes, rules, &mut parts) {
        Ok(Parsed::Complete) => None,
        Ok(Parsed::Partial) => return Err(ExplainError::TooLong),
        Err(cause) => Some(cause),
    };
    Ok(Read { bytes, parts, refused, call: None })
}

fn read_http2(
    question: &ExplainRequest<'_>,
    url: &Url<'_>,
    rules: &RequestRules,
) -> Result<Read, ExplainError> {
    let mut head = http2_head(question, url)?;
    let has_body = announces_body(question);
    let (mut bytes, mut parts) = (Vec::new(), RequestParts::default());
    let judged = connect::as_get(&mut head).map_err(Rule::in_request).and_then(|upgrade| {
        incoming_request(&head, has_body && !upgrade, rules, &mut bytes, &mut parts)?;
        parts.upgrade = upgrade;
        Ok(())
    });
    let refused = judged.err();
    let is_call = head.headers.get(CONTENT_TYPE).is_some_and(|it| is_grpc(it.as_bytes()));
    let call = (refused.is_some() && is_call).then(Call::unread);
    Ok(Read { bytes, parts, refused, call })
}

fn http2_head(
    question: &ExplainRequest<'_>,
    url: &Url<'_>,
) -> Result<request::Parts, ExplainError> {
    let named = question.headers.iter().find(|(name, _)| is_host(name));
    let authority = named.map_or(url.authority, |(_, host)| host);
    let protocol = question.headers.iter().find(|(name, _)| name == PROTOCOL);
    let mut uri = Uri::builder();
    if !authority.is_empty() {
        uri = uri.scheme(if url.tls == Some(true) { "https" } else { "http" }).authority(authority);
    }
    if question.method != "CONNECT" || protocol.is_some() {
        uri = uri.path_and_query(url.target());
    }
    let mut request = http::Request::new(());
    // What a URI cannot hold, a client of HTTP/2 cannot send.
    *request.uri_mut() = uri.build().map_err(|_| ExplainError::Url(question.url.to_owned()))?;
    *request.method_mut() = Method::from_bytes(question.method.as_bytes())
        .map_err(|_| ExplainError::Method(question.method.to_owned()))?;
    if let Some((_, protocol)) = protocol {
        request.extensions_mut().insert(h2::ext::Protocol::from(protocol.as_str()));
    }
    fill(request.headers_mut(), question)?;
    Ok(request.into_parts().0)
}

fn fill(map: &mut HeaderMap, question: &ExplainRequest<'_>) -> Result<(), ExplainError> {
    let sent = question.headers.iter().filter(|(name, _)| !is_host(name) && name != PROTOCOL);
    for (name, value) in sent {
        let unfit = || ExplainError::Header(name.clone());
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
        map.append(name, HeaderValue::from_str(value).map_err(|_| unfit())?);
    }
    Ok(())
}

/// A body follows, as far as the headers say: a stream of HTTP/2 need not announce one.
fn announces_body(question: &ExplainRequest<'_>) -> bool {
    let length =
        question.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.is_some_and(|(_, length)| length != "0")
}
