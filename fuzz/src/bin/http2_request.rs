//! A head of HTTP/2 is refused, or reaches an upstream of HTTP/1 as one request with the same
//! method, target, host and fields, as a strict reader reads it: nothing is injected by the
//! change of versions.
//!
//! The input is text, so that dictionaries of the codec help: a line of flags, the method, the
//! path, the authority, then fields as `name:value`. What the library's own types refuse cannot
//! come from a frame either.
#![no_main]

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, request};
use libfuzzer_sys::fuzz_target;
use portcullis_fuzz::oracle::Ends;
use portcullis_fuzz::{forward, oracle};
use portcullis_proxy::http1::write::{OutgoingRequest, write_request};
use portcullis_proxy::http2::head::incoming_request;
use portcullis_proxy::message::{Framing, KnownSet, RequestHead, RequestParts};

/// What the writer has a word on itself; all else is passed on as it came.
const OURS: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "te", "expect", "cookie"];

fuzz_target!(|bytes: &[u8]| {
    let Some((head, has_body)) = head(bytes) else { return };
    // Buffers as the request before may have left them.
    let (mut lines, mut parts) = (b"left over".to_vec(), RequestParts::default());
    let rules = &forward::REQUEST_RULES;
    if incoming_request(&head, has_body, rules, &mut lines, &mut parts).is_err() {
        return;
    }
    let read = RequestHead { bytes: &lines, parts: &parts };
    let plan = OutgoingRequest {
        path: read.path(),
        query: read.query(),
        host: if read.authority().is_empty() { b"upstream" } else { read.authority() },
        framing: parts.framing,
        edits: None,
        changes: None,
        drop: KnownSet::EMPTY,
        append: &[],
        keep_expect: false,
        keep_upgrade: false,
        keep_alive: true,
    };
    let mut sent = Vec::new();
    write_request(&mut sent, &read, &plan);
    match parts.framing {
        Framing::Length(length @ ..4096) => sent.resize(sent.len() + length as usize, b'x'),
        Framing::Chunked => sent.extend_from_slice(b"0\r\n\r\n"),
        Framing::None => {}
        // Too long to be tried.
        Framing::Length(_) => return,
        Framing::UntilClose => panic!("a request that ends with its connection"),
    }
    check(&head, has_body, &sent);
});

fn check(head: &request::Parts, has_body: bool, sent: &[u8]) {
    let message = oracle::request(sent).expect("what was sent is ambiguous");
    assert_eq!(message.length, sent.len(), "more than one message was sent");
    assert!(has_body || message.body.is_empty(), "a body was made up");
    assert_eq!(message.start[0], head.method.as_str().as_bytes(), "the method changed");
    let target = head.uri.path_and_query().expect("a request without a path").as_str();
    assert_eq!(message.start[1], target.as_bytes(), "the target changed");
    let named = head.headers.get("host").map_or(&b""[..], HeaderValue::as_bytes);
    let asked = head.uri.authority().map_or(named, |it| it.as_str().as_bytes());
    let asked = if asked.is_empty() { b"upstream" } else { asked };
    assert_eq!(oracle::values(&message.fields, "host"), [asked], "the host changed");

    let cookies: Vec<_> = head.headers.get_all("cookie").iter().map(|it| it.as_bytes()).collect();
    let passed = oracle::values(&message.fields, "cookie");
    let joined = cookies.join(&b"; "[..]);
    // Blanks beside an empty one stand at an end of the line, where they say nothing.
    let cookies = if cookies.is_empty() { vec![] } else { vec![joined.trim_ascii()] };
    assert_eq!(passed, cookies, "the cookies changed");
    let given = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    // Only behind chunks there may be what it announces.
    let announces = message.framing == Ends::AtLastChunk;
    let given = given.filter(|(name, _)| *name != "trailer" || announces);
    let passed = message.fields.iter().map(|(name, value)| (name.as_str(), &value[..]));
    assert_eq!(rest(given), rest(passed), "the fields changed");
}

/// Fields that are nobody's but the peers', in an order of their own.
fn rest<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(&'a str, &'a [u8])> {
    let mut rest: Vec<_> = fields.filter(|(name, _)| !OURS.contains(name)).collect();
    rest.sort_by_key(|(name, _)| *name);
    rest
}

/// The head as the library would give it, and whether the stream goes on behind it.
fn head(bytes: &[u8]) -> Option<(request::Parts, bool)> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let flags = *lines.next()?.first()?;
    let method = Method::from_bytes(lines.next()?).ok()?;
    let path = lines.next()?;
    let authority = lines.next()?;
    let mut uri = http::uri::Parts::default();
    if !path.is_empty() {
        uri.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    }
    if !authority.is_empty() {
        uri.authority = Some(Authority::try_from(authority).ok()?);
        uri.scheme = Some(if flags & 2 == 0 { Scheme::HTTP } else { Scheme::HTTPS });
    }
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = method;
    head.uri = Uri::from_parts(uri).ok()?;
    head.headers = fields(lines)?;
    Some((head, flags & 1 == 0))
}

fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_lowercase(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
        map.append(name, value);
    }
    Some(map)
}
