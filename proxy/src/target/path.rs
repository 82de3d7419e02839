//! The one path that routing, policies and upstream agree on.
//!
//! What no two servers read alike is refused; the rest is brought to the normal form of RFC 3986,
//! section 6.2.2, with `//` merged. The result is a fixed point, is plain ASCII and starts with
//! `/`. This module knows no route: whether a route takes `%2F` is decided by who calls it.
//!
//! Path parameters (`;x`) are literal text, with one exception: `..;x` and `.;x` are refused,
//! because servers that drop parameters first would climb where we saw an ordinary segment.

use crate::cause::Rule;

/// What to do with an encoded slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedSlash {
    Refuse,
    /// `%2F` stays as it is and separates nothing. Dots beside it are refused all the same:
    /// a server that decodes it would see them as a step.
    Keep,
}

/// Brings a path to its normal form, borrowed when it is in that form already; otherwise it is
/// built in `scratch`. `OPTIONS *` and the empty path of an absolute target are read as they are
/// meant: `*` and `/`.
///
/// # Errors
/// The rule that the path breaks: `%00`, `%5C`, `%2F` (unless kept), raw backslashes, controls and `#`,
/// malformed escapes, dots above the root, and paths that do not start with `/`.
pub fn normalise<'a>(
    path: &'a [u8],
    scratch: &'a mut Vec<u8>,
    slash: EncodedSlash,
) -> Result<&'a [u8], Rule> {
    match path {
        b"" => return Ok(b"/"),
        b"*" => return Ok(path),
        [b'/', ..] => {}
        _ => return Err(Rule::PathForm),
    }
    if is_plain(path) {
        return Ok(path);
    }
    rebuild(path, scratch, slash)?;
    Ok(if scratch == path { path } else { scratch })
}

/// Whether a normalised path holds an encoded slash.
pub fn has_encoded_slash(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).any(|at| path[at..].starts_with(b"%2F"))
}

/// The part of `path` after `prefix` when the prefix covers whole segments. The root is the
/// empty prefix and covers everything.
pub fn strip_prefix<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix)?;
    (prefix.is_empty() || rest.is_empty() || rest[0] == b'/').then_some(rest)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands in a path as it is.
    Plain,
    /// Legal nowhere in a path but harmless once escaped.
    Escape,
    Percent,
    Refuse,
}

const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Escape; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte < 0x20 || byte == 0x7f {
            table[byte] = Class::Refuse;
        }
        byte += 1;
    }
    let plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/";
    let mut index = 0;
    while index < plain.len() {
        table[plain[index] as usize] = Class::Plain;
        index += 1;
    }
    table[b'%' as usize] = Class::Percent;
    table[b'\\' as usize] = Class::Refuse;
    table[b'#' as usize] = Class::Refuse;
    table[b'?' as usize] = Class::Refuse;
    table[b' ' as usize] = Class::Refuse;
    table
}

/// Nothing to decode, merge or resolve. One look at each byte, as nearly every path ends here.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        if CLASSES[byte as usize] != Class::Plain || (after_slash && (byte == b'/' || byte == b'.'))
        {
            return false;
        }
        after_slash = byte == b'/';
    }
    true
}

fn rebuild(path: &[u8], out: &mut Vec<u8>, slash: EncodedSlash) -> Result<(), Rule> {
    out.clear();
    out.push(b'/');
    let mut segment = 1;
    let mut index = 1;
    while index < path.len() {
        let byte = path[index];
        index += 1;
        match CLASSES[byte as usize] {
            Class::Plain if byte == b'/' => {
                close_segment(out, segment)?;
                if out.last() != Some(&b'/') {
                    out.push(b'/');
                }
                segment = out.len();
            }
            Class::Plain => out.push(byte),
            Class::Escape => push_escape(out, byte),
            Class::Percent => {
                let decoded = decode(path.get(index..index + 2))?;
                index += 2;
                push_decoded(out, decoded, slash)?;
            }
            Class::Refuse => return Err(Rule::PathByte),
        }
    }
    close_segment(out, segment)
}

/// Resolves the segment that ends here: dots vanish, taking a parent with them when they are two.
fn close_segment(out: &mut Vec<u8>, segment: usize) -> Result<(), Rule> {
    match &out[segment..] {
        b"." => out.truncate(segment),
        b".." => {
            // `out[..segment]` ends with a slash; the parent begins after the slash before it.
            let parent = memchr::memrchr(b'/', &out[..segment - 1]).ok_or(Rule::PathAboveRoot)?;
            // A server that decodes before it resolves dots would leave only a part of it.
            if has_encoded_slash(&out[parent..segment]) {
                return Err(Rule::PathDots);
            }
            out.truncate(parent + 1);
        }
        text if climbs_for_others(text) => return Err(Rule::PathDots),
        _ => {}
    }
    Ok(())
}

/// Dots that are a step only to servers which drop parameters or decode slashes.
fn climbs_for_others(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let end = memchr::memmem::find(rest, b"%2F").unwrap_or(rest.len());
        let piece = &rest[..end];
        let dots = piece.iter().take_while(|byte| **byte == b'.').count();
        let tail = &piece[dots..];
        if matches!(dots, 1 | 2)
            && (tail.is_empty() || tail.starts_with(b";") || tail.starts_with(b"%3B"))
        {
            return true;
        }
        match rest.get(end + 3..) {
            Some(next) if end < rest.len() => rest = next,
            _ => return false,
        }
    }
}

fn push_decoded(out: &mut Vec<u8>, byte: u8, slash: EncodedSlash) -> Result<(), Rule> {
    match byte {
        0 => Err(Rule::PathNul),
        b'\\' => Err(Rule::PathBackslash),
        b'/' if slash == EncodedSlash::Refuse => Err(Rule::PathSlash),
        b'-' | b'.' | b'_' | b'~' => {
            out.push(byte);
            Ok(())
        }
        _ if byte.is_ascii_alphanumeric() => {
            out.push(byte);
            Ok(())
        }
        _ => {
            push_escape(out, byte);
            Ok(())
        }
    }
}

/// `%XX` in upper case.
pub(crate) fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

fn decode(digits: Option<&[u8]>) -> Result<u8, Rule> {
    match digits {
        Some(&[high, low]) => match (hex(high), hex(low)) {
            (Some(high), Some(low)) => Ok(high << 4 | low),
            _ => Err(Rule::PathEscape),
        },
        _ => Err(Rule::PathEscape),
    }
}

/// The value of a hexadecimal digit in either case.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
