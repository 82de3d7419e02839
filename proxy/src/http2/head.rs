//! Heads between HTTP/2 and the form that all protocols share.
//!
//! Incoming ones are written out as the lines of an HTTP/1 head and parsed by its codec, so that
//! there is one judge of names, values, host, path and framing. Outgoing ones drop and add what
//! the HTTP/1 writers would.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, request, response};

use super::fields::{add, add_copied, lines, put_line};
use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::http1::changes::Changes;
use crate::http1::edits::Edits;
use crate::http1::known::known;
use crate::http1::request::{Parsed, RequestRules, parse_request};
use crate::http1::response::{ResponseRules, parse_response};
use crate::http1::simple::SimpleResponse;
use crate::http1::write::{
    HOP_BY_HOP, Leaving, Line, OutgoingRequest, OutgoingResponse, wants_trailers,
};
use crate::message::{
    Fields, Framing, Known, KnownSet, RequestHead, RequestParts, ResponseHead, ResponseParts,
    Version,
};

/// Fields of a connection, for which HTTP/2 has no place (RFC 9113, section 8.2.2).
const CONNECTION_SPECIFIC: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::TransferEncoding,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Upgrade,
]);

/// Writes a request's head out into `bytes` and judges it. `has_body` tells whether the stream
/// goes on behind it.
pub fn incoming_request(
    head: &request::Parts,
    has_body: bool,
    rules: &RequestRules,
    bytes: &mut Vec<u8>,
    parts: &mut RequestParts,
) -> Result<(), Cause> {
    bytes.clear();
    // Until it is judged the parts hold nothing of a request before.
    parts.length = 0;
    let target = match head.uri.path_and_query() {
        Some(target) => target.as_str(),
        None => return Err(Rule::Connect.in_request()),
    };
    for piece in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        bytes.extend_from_slice(piece.as_bytes());
    }
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    // An empty scheme passes the library, which keeps one beside an authority only.
    if authority.is_some() && head.uri.scheme_str().is_none_or(str::is_empty) {
        return Err(Rule::SchemeMissing.in_request());
    }
    if let Some(authority) = authority {
        put_line(bytes, b"host", authority);
    }
    let mut cookies = false;
    for (name, value) in &head.headers {
        let value = judged(value).ok_or(Rule::ValueSpace.in_request())?;
        if name == HOST && authority.is_some_and(|authority| authority == value) {
            continue;
        }
        if name == COOKIE && std::mem::replace(&mut cookies, true) {
            // One line again: it is split for compression only (RFC 9113, section 8.2.3), and
            // the values of a name come one after another.
            bytes.truncate(bytes.len() - 2);
            for piece in [b"; ", value, b"\r\n"] {
                bytes.extend_from_slice(piece);
            }
            continue;
        }
        put_line(bytes, name.as_str().as_bytes(), value);
    }
    bytes.extend_from_slice(b"\r\n");
    if parse_request(bytes, rules, parts)? != Parsed::Complete
        || parts.length as usize != bytes.len()
    {
        return Err(Rule::LineInjection.in_request());
    }
    let fields = Fields { bytes, fields: &parts.fields };
    if is_connection_specific(fields) {
        return Err(Rule::ConnectionField.in_request());
    }
    if fields.known(Known::Te).is_some_and(|te| te != b"trailers") {
        return Err(Rule::TeField.in_request());
    }
    parts.version = Version::Http2;
    parts.keep_alive = true;
    parts.framing = match (parts.framing, has_body) {
        (Framing::Length(1..), false) => return Err(Rule::LengthWithoutBody.in_request()),
        (_, false) => Framing::None,
        (Framing::None, true) => Framing::Chunked,
        (announced, true) => announced,
    };
    parts.expect_continue &= has_body;
    Ok(())
}

/// The same for a response, also an interim one.
pub fn incoming_response(
    head: &response::Parts,
    has_body: bool,
    rules: &ResponseRules,
    request_method: &[u8],
    bytes: &mut Vec<u8>,
    parts: &mut ResponseParts,
) -> Result<(), Cause> {
    bytes.clear();
    parts.length = 0;
    let phrase = head.status.canonical_reason().unwrap_or_default();
    for piece in ["HTTP/1.1 ", head.status.as_str(), " ", phrase, "\r\n"] {
        bytes.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in &head.headers {
        let value = judged(value).ok_or(Rule::ValueSpace.in_response())?;
        put_line(bytes, name.as_str().as_bytes(), value);
    }
    bytes.extend_from_slice(b"\r\n");
    if parse_response(bytes, rules, request_method, parts)? != Parsed::Complete
        || parts.length as usize != bytes.len()
    {
        return Err(Rule::LineInjection.in_response());
    }
    if is_connection_specific(Fields { bytes, fields: &parts.fields }) {
        return Err(Rule::ConnectionField.in_response());
    }
    parts.framing = match parts.framing {
        Framing::None => Framing::None,
        Framing::Length(1..) if !has_body => return Err(Rule::LengthWithoutBody.in_response()),
        Framing::Length(length) => Framing::Length(length),
        Framing::Chunked | Framing::UntilClose if !has_body => Framing::Length(0),
        Framing::Chunked | Framing::UntilClose => Framing::Chunked,
    };
    parts.keep_alive = true;
    Ok(())
}

/// A value must not begin or end with white space (RFC 9113, section 8.2.1).
fn judged(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes();
    let space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    (!space(value.first()) && !space(value.last())).then_some(value)
}

fn is_connection_specific(fields: Fields<'_>) -> bool {
    fields.fields.iter().any(|field| CONNECTION_SPECIFIC.contains(field.known))
}

/// A request for an upstream. Fails on what a URI cannot hold.
pub fn outgoing_request(
    head: &RequestHead<'_>,
    plan: &OutgoingRequest<'_>,
    tls: bool,
) -> Result<Request<()>, Reason> {
    let mut target = Vec::with_capacity(plan.path.len() + 1 + plan.query.map_or(0, <[u8]>::len));
    target.extend_from_slice(plan.path);
    if let Some(query) = plan.query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let uri = Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(plan.host)
        .path_and_query(target)
        .build()
        .map_err(|_| Reason::BadPath)?;
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    *request.method_mut() =
        Method::from_bytes(head.method()).map_err(|_| Reason::MethodUnsupported)?;

    let map = request.headers_mut();
    let leaving = Leaving::new(head.fields(), plan.dropped(), plan.edits, plan.changes);
    copy(map, head.fields(), head.parts.length, &leaving);
    if let Framing::Length(length) = plan.framing {
        map.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if wants_trailers(head) {
        map.insert(HeaderName::from_static("te"), HeaderValue::from_static("trailers"));
    }
    append(map, plan.append, plan.edits, plan.changes);
    Ok(request)
}

/// A response for a client.
pub fn outgoing_response(
    head: &ResponseHead<'_>,
    plan: &OutgoingResponse<'_>,
) -> Result<Response<()>, Reason> {
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(head.parts.status).map_err(|_| Reason::UpstreamProtocol)?;
    let map = response.headers_mut();
    // What the upstream said of the length is true already, also of a body that is left out.
    let mut dropped = HOP_BY_HOP.union(plan.drop).without(Known::ContentLength);
    if plan.framing == Framing::Chunked {
        dropped = dropped.with(Known::ContentLength).without(Known::Trailer);
    }
    let leaving = Leaving::new(head.fields(), dropped, plan.edits, plan.changes);
    copy(map, head.fields(), head.parts.length, &leaving);
    if head.parts.status >= 200 && plan.wants_date(head.fields()) {
        add_copied(map, b"date", plan.date);
    }
    append(map, plan.append, plan.edits, plan.changes);
    Ok(response)
}

/// A response of our own: its head, and its body.
pub fn whole_response(response: &SimpleResponse<'_>) -> (Response<()>, Bytes) {
    let mut head = Response::new(());
    *head.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let map = head.headers_mut();
    add_copied(map, b"date", response.date);
    if response.has_body() {
        if let Some(content_type) = response.content_type {
            add_copied(map, b"content-type", content_type);
        }
        map.insert(CONTENT_LENGTH, HeaderValue::from(response.body.len()));
    }
    append(map, response.headers, response.edits, response.changes);
    let body = if response.has_body() && !response.head_only { response.body } else { &[] };
    (head, Bytes::copy_from_slice(body))
}

/// Copies the fields that stay: one allocation for all values.
fn copy(map: &mut HeaderMap, fields: Fields<'_>, length: u32, leaving: &Leaving<'_>) {
    let shared = Bytes::copy_from_slice(&fields.bytes[..length as usize]);
    map.reserve(fields.fields.len() + 4);
    for field in fields.fields.iter().filter(|field| !leaving.contains(field)) {
        let value = shared.slice(field.value.start as usize..field.value.end as usize);
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            add(map, field.name.of(fields.bytes), value);
        }
    }
}

/// Adds what policies say, what the proxy says, then what the route says.
pub(super) fn append(
    map: &mut HeaderMap,
    ours: &[Line<'_>],
    edits: Option<&Edits>,
    changes: Option<&Changes>,
) {
    let dropped = |name: &[u8]| edits.is_some_and(|edits| edits.drops(name, known(name)));
    for (name, value) in lines(changes.map_or(&[], Changes::lines)) {
        if !dropped(name) {
            add_copied(map, name, value);
        }
    }
    for line in ours.iter().filter(|line| !dropped(line.name)) {
        add_copied(map, line.name, &line.value.concat());
    }
    for (name, value) in lines(edits.map_or(&[], Edits::lines)) {
        add_copied(map, name, value);
    }
}
