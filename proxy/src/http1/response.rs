//! Response heads: judged as strictly as requests, since a response that two parsers frame
//! differently poisons the connection for the next client.

use portcullis_config::model::Underscores;

use super::fields::{ConnectionOptions, parse_fields, value_rule};
use super::framing::{Announced, announced};
use super::request::Parsed;
use super::scan::HeadLimits;
use super::syntax::{MAX_HEAD, elements, offset, text_length};
use crate::cause::{Cause, Rule};
use crate::message::{Fields, Framing, Known, ResponseParts, Span, Version};

/// What an upstream may send.
#[derive(Debug, Clone, Copy)]
pub struct ResponseRules {
    /// Bytes of the whole head.
    pub head_bytes: usize,
    /// Header lines.
    pub headers: usize,
}

impl ResponseRules {
    pub fn limits(&self) -> HeadLimits {
        let head_bytes = self.head_bytes.min(MAX_HEAD);
        HeadLimits { head_bytes, first_line: head_bytes, headers: self.headers }
    }
}

/// Parses the head that starts with the first of `bytes`, also an interim one (1xx).
///
/// The framing depends on the request: responses to HEAD and those of status 1xx, 204 and 304
/// have no body whatever their fields say. After an error the connection must be closed.
pub fn parse_response(
    bytes: &[u8],
    rules: &ResponseRules,
    request_method: &[u8],
    parts: &mut ResponseParts,
) -> Result<Parsed, Cause> {
    let mut fields = std::mem::take(&mut parts.fields);
    fields.clear();
    *parts = ResponseParts { fields, ..ResponseParts::default() };

    let limit = rules.head_bytes.min(MAX_HEAD);
    let window = &bytes[..bytes.len().min(limit)];
    match parse_head(window, rules, request_method, parts).map_err(Rule::in_response)? {
        Parsed::Partial if bytes.len() >= limit => Err(Rule::ResponseHead.in_response()),
        parsed => Ok(parsed),
    }
}

fn parse_head(
    bytes: &[u8],
    rules: &ResponseRules,
    request_method: &[u8],
    parts: &mut ResponseParts,
) -> Result<Parsed, Rule> {
    let Some(line_end) = parse_status_line(bytes, parts)? else {
        return Ok(Parsed::Partial);
    };
    // Underscores spoof only what a server derives from a request.
    let fields = &mut parts.fields;
    let end = parse_fields(bytes, line_end, rules.headers, Underscores::Allow, fields)
        .map_err(|rule| if rule == Rule::HeadLines { Rule::ResponseHead } else { rule })?;
    let Some(end) = end else {
        return Ok(Parsed::Partial);
    };
    parts.length = offset(end);
    interpret(bytes, request_method, parts)?;
    Ok(Parsed::Complete)
}

/// `0` stands for any digit.
const SHAPE: &[u8; 12] = b"HTTP/1.0 000";

/// `HTTP/1.x SP status SP reason CRLF`; the space before an empty reason may be missing, as many
/// servers write it.
fn parse_status_line(bytes: &[u8], parts: &mut ResponseParts) -> Result<Option<usize>, Rule> {
    // No status line begins so, but what other protocols say does.
    match bytes.first() {
        Some(0) => return Err(Rule::Http2FromHttp1),
        Some(0x15 | 0x16) => return Err(Rule::TlsFromPlain),
        _ => {}
    }
    let Some(line) = bytes.first_chunk::<12>() else {
        let has_shape = bytes.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        });
        return if has_shape { Ok(None) } else { Err(Rule::StatusLine) };
    };
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', digits @ ..] = line else {
        return Err(Rule::StatusLine);
    };
    parts.version = match minor {
        b'0' => Version::Http10,
        b'1' => Version::Http11,
        _ => return Err(Rule::StatusLine),
    };
    let [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] = digits else {
        return Err(Rule::StatusLine);
    };
    parts.status = digits.iter().fold(0, |sum, &digit| sum * 10 + u16::from(digit - b'0'));
    let start = match bytes.get(SHAPE.len()) {
        None => return Ok(None),
        Some(b' ') => SHAPE.len() + 1,
        Some(b'\r') => SHAPE.len(),
        Some(_) => return Err(Rule::StatusLine),
    };
    let end = start + text_length(&bytes[start..]);
    parts.reason = Span { start: offset(start), end: offset(end) };
    match &bytes[end..] {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(end + 2)),
        [byte, ..] => Err(value_rule(*byte)),
    }
}

fn interpret(bytes: &[u8], request_method: &[u8], parts: &mut ResponseParts) -> Result<(), Rule> {
    let fields = Fields { bytes, fields: &parts.fields };
    let seen = parts.fields.seen();
    let announced = announced(fields, parts.version)?;
    let options = ConnectionOptions::parse(fields)?;
    let has_hint = seen.contains(Known::KeepAlive);
    let keep_alive_timeout = has_hint.then(|| keep_alive_timeout(fields)).flatten();

    let framing = if matches!(parts.status, 100..=199 | 204) {
        // They must not announce a body (RFC 9112, section 6.1), and some readers believe one.
        if !matches!(announced, Announced::Nothing | Announced::Length(0)) {
            return Err(Rule::BodyForbidden);
        }
        Framing::None
    } else if parts.status == 304
        || request_method == b"HEAD"
        || (request_method == b"CONNECT" && matches!(parts.status, 200..=299))
    {
        Framing::None
    } else {
        match announced {
            Announced::Nothing => Framing::UntilClose,
            Announced::Length(length) => Framing::Length(length),
            Announced::Chunked => Framing::Chunked,
        }
    };
    parts.framing = framing;
    parts.keep_alive = framing != Framing::UntilClose
        && !options.close
        && (parts.version == Version::Http11 || options.keep_alive);
    parts.keep_alive_timeout = keep_alive_timeout;
    Ok(())
}

/// Only a hint, so what cannot be read is no hint rather than a flaw.
fn keep_alive_timeout(fields: Fields<'_>) -> Option<u32> {
    elements(fields.known(Known::KeepAlive)?).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(b"timeout=".len())?;
        if !name.eq_ignore_ascii_case(b"timeout=") || !seconds.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(seconds).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests;
