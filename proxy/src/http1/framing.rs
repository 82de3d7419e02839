//! What Content-Length and Transfer-Encoding say together (RFC 9112, section 6), read so that
//! there is one answer or none. The same rules judge requests and responses.

use super::syntax::{elements, is_token};
use crate::cause::Rule;
use crate::message::{Fields, Known, KnownSet, Version};

/// What the fields announce, before method and status are considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    Nothing,
    Length(u64),
    Chunked,
}

/// Lengths beyond this overflow the signed counters of other servers.
const MAX_LENGTH: u64 = i64::MAX as u64;

pub(super) fn announced(fields: Fields<'_>, version: Version) -> Result<Announced, Rule> {
    const ANNOUNCING: KnownSet = KnownSet::of(&[Known::ContentLength, Known::TransferEncoding]);
    if !fields.fields.seen().intersects(ANNOUNCING) {
        return Ok(Announced::Nothing);
    }
    let mut length = None;
    let mut coding = None;
    for field in fields.fields.iter() {
        let (slot, repeated) = match field.known {
            Known::ContentLength => (&mut length, Rule::LengthRepeated),
            Known::TransferEncoding => (&mut coding, Rule::CodingRepeated),
            _ => continue,
        };
        // Also when both say the same: which of the two counts is where servers differ.
        if slot.replace(field.value.of(fields.bytes)).is_some() {
            return Err(repeated);
        }
    }
    match (length, coding) {
        (None, None) => Ok(Announced::Nothing),
        (Some(value), None) => parse_length(value).map(Announced::Length).ok_or(Rule::LengthForm),
        (None, Some(value)) if version == Version::Http11 => judge_coding(value),
        (Some(_), Some(_)) => Err(Rule::LengthAndCoding),
        (None, Some(_)) => Err(Rule::CodingInHttp10),
    }
}

/// Digits only, at most 19 of them: no list, no sign, no other base.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length = 0u64;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    (length <= MAX_LENGTH).then_some(length)
}

fn judge_coding(value: &[u8]) -> Result<Announced, Rule> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Announced::Chunked);
    }
    // Well formed, with `chunked` once and last, it is a coding that we do not speak; everything
    // else leaves the end of the body open.
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let well_formed = elements(value).all(is_token)
        && elements(value).filter(|coding| is_chunked(coding)).count() == 1
        && elements(value).count() > 1
        && elements(value).last().is_some_and(is_chunked);
    Err(if well_formed { Rule::CodingUnknown } else { Rule::CodingForm })
}
