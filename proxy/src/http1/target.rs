//! The four forms of a request target (RFC 9112, section 3.2). Judges bytes that are known to
//! be visible ASCII without `#`; whether a path is acceptable is for the router to say.

use super::host;
use super::syntax::offset;
use crate::cause::Rule;
use crate::message::Span;

/// Where the pieces of a target stand in the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    /// Only of the absolute form.
    pub(super) authority: Option<Span>,
}

pub(super) fn parse_target(bytes: &[u8], method: &[u8], span: Span) -> Result<Target, Rule> {
    if method == b"CONNECT" {
        return Err(Rule::Connect);
    }
    let target = span.of(bytes);
    match target {
        [b'/', ..] => Ok(origin(target, span.start as usize, None)),
        b"*" if method == b"OPTIONS" => Ok(Target { path: span, query: None, authority: None }),
        // What a client begins with that takes HTTP/2 for settled (RFC 9113, section 3.4).
        b"*" if method == b"PRI" => Err(Rule::Http2ToHttp1),
        _ => absolute(target, span.start as usize),
    }
}

/// A path with its query, starting at `at`.
fn origin(path_and_query: &[u8], at: usize, authority: Option<Span>) -> Target {
    let end = at + path_and_query.len();
    let mark = memchr::memchr(b'?', path_and_query).map(|mark| at + mark);
    let path = Span { start: offset(at), end: offset(mark.unwrap_or(end)) };
    let query = mark.map(|mark| Span { start: offset(mark + 1), end: offset(end) });
    Target { path, query, authority }
}

/// `http://authority/path?query`. Only the two schemes that a gateway can serve.
fn absolute(target: &[u8], at: usize) -> Result<Target, Rule> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| {
            target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .ok_or(Rule::TargetForm)?;
    let start = at + scheme.len();
    let rest = &target[scheme.len()..];
    let length = rest.iter().position(|&byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if !host::is_valid(&rest[..length]) {
        return Err(Rule::TargetHost);
    }
    let authority = Some(Span { start: offset(start), end: offset(start + length) });
    let mut parsed = origin(&rest[length..], start + length, authority);
    if parsed.path.is_empty() {
        // The empty path of an absolute form means `/`, and a slash stands in `://`.
        parsed.path = Span { start: offset(start - 1), end: offset(start) };
    }
    Ok(parsed)
}
