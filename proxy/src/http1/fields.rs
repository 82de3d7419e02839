//! Header and trailer lines, read strictly (RFC 9112, section 5). Knows neither requests nor
//! responses: it names the flaw, the caller says whose fault that is.

use portcullis_config::values::HeaderName;

use super::known::{KnownSet, known};
use super::syntax::{elements, is_token, offset, text_length, token_length};
use crate::message::{Field, Fields, Known, Span};
use portcullis_config::model::Underscores;

/// What is wrong with a head, before it is known whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    Syntax,
    TooLarge,
    TransferCoding,
}

/// Reads lines from `at` until the empty line; its end and which known names occurred, or `None`
/// while bytes are missing.
pub(super) fn parse_fields(
    bytes: &[u8],
    mut at: usize,
    limit: usize,
    underscores: Underscores,
    fields: &mut Vec<Field>,
) -> Result<Option<(usize, KnownSet)>, Flaw> {
    let mut seen = KnownSet::EMPTY;
    loop {
        match &bytes[at..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => return Ok(Some((at + 2, seen))),
            _ => {}
        }
        if fields.len() >= limit {
            return Err(Flaw::TooLarge);
        }
        let Some((field, next)) = parse_line(bytes, at, underscores)? else {
            return Ok(None);
        };
        seen = seen.with(field.known);
        fields.push(field);
        at = next;
    }
}

/// Reads one `name: value` line; it and the start of the next, or `None` while bytes are missing.
pub(super) fn parse_line(
    bytes: &[u8],
    at: usize,
    underscores: Underscores,
) -> Result<Option<(Field, usize)>, Flaw> {
    let name_end = at + token_length(&bytes[at..]);
    let name = &bytes[at..name_end];
    if underscores == Underscores::Reject && name.contains(&b'_') {
        return Err(Flaw::Syntax);
    }
    match bytes.get(name_end) {
        None => return Ok(None),
        // A space here, or at the start of the line, is where parsers disagree.
        Some(b':') if !name.is_empty() => {}
        Some(_) => return Err(Flaw::Syntax),
    }
    let mut start = name_end + 1;
    while let Some(b' ' | b'\t') = bytes.get(start) {
        start += 1;
    }
    let stop = start + text_length(&bytes[start..]);
    match &bytes[stop..] {
        [] | [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        _ => return Err(Flaw::Syntax),
    }
    let mut end = stop;
    while end > start && matches!(bytes[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    let field = Field {
        name: Span { start: offset(at), end: offset(name_end) },
        value: Span { start: offset(start), end: offset(end) },
        known: known(name),
    };
    Ok(Some((field, stop + 2)))
}

/// More options than any honest sender has; each one is compared with each header.
const MAX_CONNECTION_OPTIONS: usize = 32;

/// What `Connection` says, of all its lines together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

impl ConnectionOptions {
    pub(super) fn parse(fields: Fields<'_>, seen: KnownSet) -> Result<Self, Flaw> {
        let mut found = Self::default();
        if !seen.contains(Known::Connection) {
            return Ok(found);
        }
        let mut count = 0;
        for field in fields.fields.iter().filter(|field| field.known == Known::Connection) {
            for option in elements(field.value.of(fields.bytes)) {
                count += 1;
                if count > MAX_CONNECTION_OPTIONS || !is_token(option) {
                    return Err(Flaw::Syntax);
                }
                found.close |= option.eq_ignore_ascii_case(b"close");
                found.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                found.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
        Ok(found)
    }
}

/// Whether `Connection` names fields beyond those that are always dropped.
pub(super) fn nominates(fields: Fields<'_>) -> bool {
    connection_options(fields).any(|option| {
        ![&b"close"[..], b"keep-alive", b"upgrade", b"te"]
            .iter()
            .any(|usual| option.eq_ignore_ascii_case(usual))
    })
}

/// Whether `Connection` may and does strip this field from what is forwarded.
pub(super) fn is_nominated(fields: Fields<'_>, field: &Field) -> bool {
    let name = field.name.of(fields.bytes);
    connection_options(fields).any(|option| option.eq_ignore_ascii_case(name))
        && !is_end_to_end(name, field.known)
}

fn connection_options<'a>(fields: Fields<'a>) -> impl Iterator<Item = &'a [u8]> {
    fields
        .fields
        .iter()
        .filter(|field| field.known == Known::Connection)
        .flat_map(move |field| elements(field.value.of(fields.bytes)))
}

/// Fields that carry framing, routing, identity or provenance: a sender that could make us drop
/// one would make the next hop see another request than the one that we judged.
fn is_end_to_end(name: &[u8], known: Known) -> bool {
    const NAMES: [&[u8]; 10] = [
        b"authorization",
        b"proxy-authorization",
        b"set-cookie",
        b"www-authenticate",
        b"cache-control",
        b"content-type",
        b"content-encoding",
        b"content-range",
        b"location",
        b"x-real-ip",
    ];
    const PREFIX: &[u8] = b"x-forwarded-";
    known != Known::Other
        || NAMES.iter().any(|protected| name.eq_ignore_ascii_case(protected))
        || name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Whether a field has one of the names, which are in lower case.
pub(super) fn is_one_of(name: &[u8], names: &[HeaderName]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other.as_str().as_bytes()))
}
