//! Header and trailer lines, read strictly (RFC 9112, section 5). Knows neither requests nor
//! responses: it names the rule that is broken, the caller says whose fault that is.

use portcullis_config::values::HeaderName;

use super::known::known;
use super::syntax::{elements, is_token, offset, plain_length, text_length, token_length};
use crate::cause::Rule;
use crate::message::{Field, FieldList, Fields, Known, Span};
use portcullis_config::model::Underscores;

/// Reads lines from `at` until the empty line; its end, or `None` while bytes are missing.
pub(super) fn parse_fields(
    bytes: &[u8],
    mut at: usize,
    limit: usize,
    underscores: Underscores,
    fields: &mut FieldList,
) -> Result<Option<usize>, Rule> {
    loop {
        match &bytes[at..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => return Ok(Some(at + 2)),
            _ => {}
        }
        if fields.len() >= limit {
            return Err(Rule::HeadLines);
        }
        let Some((field, next)) = parse_line(bytes, at, underscores)? else {
            return Ok(None);
        };
        fields.push(field);
        at = next;
    }
}

/// Reads one `name: value` line; it and the start of the next, or `None` while bytes are missing.
// Handing a field back through memory costs a fifth of reading it.
#[inline(always)]
pub(super) fn parse_line(
    bytes: &[u8],
    at: usize,
    underscores: Underscores,
) -> Result<Option<(Field, usize)>, Rule> {
    let line = &bytes[at..];
    let (_, unusual) = line.split_at(plain_length(line));
    let (unusual, behind) = unusual.split_at(token_length(unusual));
    if underscores == Underscores::Reject && unusual.contains(&b'_') {
        return Err(Rule::NameUnderscore);
    }
    let name = &line[..line.len() - behind.len()];
    let mut value = match behind {
        [] => return Ok(None),
        // A space here, or at the start of the line, is where parsers disagree.
        [b':', value @ ..] if !name.is_empty() => value,
        [byte, ..] => return Err(name_rule(*byte, name.is_empty())),
    };
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    let start = bytes.len() - value.len();
    let (mut value, behind) = value.split_at(text_length(value));
    let next = match behind {
        [] | [b'\r'] => return Ok(None),
        [b'\r', b'\n', next @ ..] => bytes.len() - next.len(),
        [byte, ..] => return Err(value_rule(*byte)),
    };
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    let field = Field {
        name: Span { start: offset(at), end: offset(at + name.len()) },
        value: Span { start: offset(start), end: offset(start + value.len()) },
        known: known(name),
    };
    Ok(Some((field, next)))
}

/// Which rule a byte breaks that stands behind a name where a colon belongs.
#[cold]
fn name_rule(byte: u8, first: bool) -> Rule {
    match byte {
        b':' => Rule::NameEmpty,
        b' ' | b'\t' if first => Rule::ObsFold,
        b' ' | b'\t' => Rule::SpaceBeforeColon,
        b'\n' if first => Rule::BareLineFeed,
        b'\r' if first => Rule::BareCarriageReturn,
        b'\r' | b'\n' => Rule::Colon,
        _ => Rule::NameByte,
    }
}

/// Which rule a byte breaks that ends a value, or a line, in another way than by CR LF.
#[cold]
pub(super) fn value_rule(byte: u8) -> Rule {
    match byte {
        b'\n' => Rule::BareLineFeed,
        b'\r' => Rule::BareCarriageReturn,
        _ => Rule::ValueByte,
    }
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
    pub(super) fn parse(fields: Fields<'_>) -> Result<Self, Rule> {
        let mut found = Self::default();
        if !fields.fields.seen().contains(Known::Connection) {
            return Ok(found);
        }
        let mut count = 0;
        for field in fields.fields.iter().filter(|field| field.known == Known::Connection) {
            for option in elements(field.value.of(fields.bytes)) {
                count += 1;
                if count > MAX_CONNECTION_OPTIONS || !is_token(option) {
                    return Err(Rule::ConnectionOption);
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
    fields.fields.seen().contains(Known::Connection)
        && connection_options(fields).any(|option| {
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
