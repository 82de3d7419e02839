//! Request heads: from bytes to [`RequestParts`], or to the rule that they break.
//!
//! A verdict depends on the bytes alone, never on how they were cut: a prefix of a head is
//! `Partial` or already refused for the reason that the whole would be refused for.

use portcullis_config::model::Underscores;

use super::fields::{ConnectionOptions, parse_fields};
use super::framing::{Announced, announced};
use super::host;
use super::scan::HeadLimits;
use super::syntax::{MAX_HEAD, offset, target_length, token_length};
use super::target::parse_target;
use crate::cause::{Cause, Rule};
use crate::message::{Fields, Framing, Known, RequestParts, Span, Version};

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct RequestRules {
    /// Bytes of the whole head.
    pub head_bytes: usize,
    /// Bytes of the request target.
    pub uri_bytes: usize,
    /// Header lines.
    pub headers: usize,
    pub underscores: Underscores,
}

impl RequestRules {
    pub fn limits(&self) -> HeadLimits {
        HeadLimits {
            head_bytes: self.head_bytes.min(MAX_HEAD),
            first_line: self.uri_bytes + MAX_METHOD + b"  HTTP/1.1\r\n".len(),
            headers: self.headers,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The parts hold the head: its first `parts.length` bytes.
    Complete,
    /// More bytes are needed; the parts hold nothing of meaning.
    Partial,
}

/// No registered method is half as long.
const MAX_METHOD: usize = 64;

/// Bytes to skip before a request line: one empty line at most (RFC 9112, section 2.2).
///
/// To be asked before the first byte of a head is parsed, and skipped once: a second empty line
/// is a flaw. A lone CR parses as `Partial`, so that its LF may follow.
pub fn leading_empty_line(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 0 }
}

/// Parses the head that starts with the first of `bytes`; what follows the head is not looked at.
///
/// After an error the connection cannot be used further: where the next request starts is
/// unknown. A head of `head_bytes` or more that is still partial is refused.
pub fn parse_request(
    bytes: &[u8],
    rules: &RequestRules,
    parts: &mut RequestParts,
) -> Result<Parsed, Cause> {
    let mut fields = std::mem::take(&mut parts.fields);
    fields.clear();
    *parts = RequestParts { fields, ..RequestParts::default() };

    let limit = rules.head_bytes.min(MAX_HEAD);
    match parse_head(&bytes[..bytes.len().min(limit)], rules, parts).map_err(Rule::in_request)? {
        Parsed::Partial if bytes.len() >= limit => Err(Rule::HeadBytes.in_request()),
        parsed => Ok(parsed),
    }
}

fn parse_head(
    bytes: &[u8],
    rules: &RequestRules,
    parts: &mut RequestParts,
) -> Result<Parsed, Rule> {
    if bytes == b"\r" {
        return Ok(Parsed::Partial);
    }
    let Some(line_end) = parse_request_line(bytes, rules, parts)? else {
        return Ok(Parsed::Partial);
    };
    let end = parse_fields(bytes, line_end, rules.headers, rules.underscores, &mut parts.fields)?;
    let Some(end) = end else {
        return Ok(Parsed::Partial);
    };
    parts.length = offset(end);
    interpret(bytes, parts)?;
    Ok(Parsed::Complete)
}

/// `method SP target SP version CRLF`, with exactly these separators; the offset behind it.
fn parse_request_line(
    bytes: &[u8],
    rules: &RequestRules,
    parts: &mut RequestParts,
) -> Result<Option<usize>, Rule> {
    let method_end = token_length(&bytes[..bytes.len().min(MAX_METHOD + 1)]);
    if method_end > MAX_METHOD {
        return Err(Rule::MethodLong);
    }
    parts.method = Span { start: 0, end: offset(method_end) };
    match bytes.get(method_end) {
        None => return Ok(None),
        Some(b' ') if method_end > 0 => {}
        // The type of a TLS record with a handshake, where a method begins.
        Some(0x16) if method_end == 0 => return Err(Rule::TlsToPlain),
        Some(_) => return Err(Rule::RequestLine),
    }
    let start = method_end + 1;
    let length = target_length(&bytes[start..]);
    if length > rules.uri_bytes {
        return Err(Rule::UriLong);
    }
    let end = start + length;
    match bytes.get(end) {
        None => return Ok(None),
        Some(b' ') if length > 0 => {}
        Some(b' ' | b'\r' | b'\n') => return Err(Rule::RequestLine),
        Some(_) => return Err(Rule::TargetByte),
    }
    parts.target = Span { start: offset(start), end: offset(end) };
    let target = parse_target(bytes, &bytes[..method_end], parts.target)?;
    parts.path = target.path;
    parts.query = target.query;
    parts.authority = target.authority.unwrap_or_default();

    let Some(version) = parse_version(&bytes[end + 1..])? else {
        return Ok(None);
    };
    parts.version = version;
    Ok(Some(end + 1 + VERSION_SHAPE.len()))
}

/// `0` stands for any digit.
const VERSION_SHAPE: &[u8; 10] = b"HTTP/0.0\r\n";

fn parse_version(bytes: &[u8]) -> Result<Option<Version>, Rule> {
    match bytes.first_chunk() {
        Some(b"HTTP/1.1\r\n") => return Ok(Some(Version::Http11)),
        Some(b"HTTP/1.0\r\n") => return Ok(Some(Version::Http10)),
        _ => {}
    }
    let has_shape = bytes.iter().zip(VERSION_SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    match bytes.first_chunk::<10>() {
        _ if !has_shape => Err(Rule::VersionForm),
        None => Ok(None),
        // A later minor version of HTTP/1 may exist; the others do not belong on this port.
        Some([_, _, _, _, _, b'1', ..]) => Err(Rule::VersionLater),
        Some(_) => Err(Rule::VersionForm),
    }
}

/// What the fields of a complete head mean together.
fn interpret(bytes: &[u8], parts: &mut RequestParts) -> Result<(), Rule> {
    let fields = Fields { bytes, fields: &parts.fields };
    let seen = parts.fields.seen();
    let authority = judge_host(bytes, parts)?;
    let framing = match announced(fields, parts.version)? {
        Announced::Nothing => Framing::None,
        Announced::Length(length) => Framing::Length(length),
        Announced::Chunked => Framing::Chunked,
    };
    let options = ConnectionOptions::parse(fields)?;
    let expects = seen.contains(Known::Expect) && judge_expect(fields, parts.version)?;

    parts.authority = authority;
    parts.framing = framing;
    parts.keep_alive = match parts.version {
        Version::Http11 | Version::Http2 => !options.close,
        Version::Http10 => options.keep_alive && !options.close,
    };
    parts.expect_continue = expects && !framing.is_empty();
    parts.upgrade =
        options.upgrade && seen.contains(Known::Upgrade) && parts.version == Version::Http11;
    Ok(())
}

/// The authority of the request. `Host` must be right even where the target overrides it: the
/// next server may look at it first.
fn judge_host(bytes: &[u8], parts: &RequestParts) -> Result<Span, Rule> {
    let mut hosts = parts.fields.iter().filter(|field| field.known == Known::Host);
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(Rule::HostRepeated);
    }
    match first {
        Some(field) if !host::is_valid(field.value.of(bytes)) => Err(Rule::HostForm),
        None if parts.version == Version::Http11 => Err(Rule::HostMissing),
        _ if !parts.authority.is_empty() => Ok(parts.authority),
        Some(field) => Ok(field.value),
        None => Ok(Span::default()),
    }
}

/// Whether `100-continue` is expected; HTTP/1.0 knows no expectations (RFC 9110, 10.1.1).
fn judge_expect(fields: Fields<'_>, version: Version) -> Result<bool, Rule> {
    let mut found = false;
    for field in fields.fields.iter().filter(|field| field.known == Known::Expect) {
        if version == Version::Http10 {
            continue;
        }
        if found || !field.value.of(fields.bytes).eq_ignore_ascii_case(b"100-continue") {
            return Err(Rule::Expectation);
        }
        found = true;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
