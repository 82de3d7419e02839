//! The trailer section of a chunked body: bounded, and kept only as far as it may be passed on.
//!
//! A trailer that a server merges into the header could change what was already judged, so
//! fields of framing, routing, identity and provenance are dropped (RFC 9110, section 6.5.1).

use portcullis_config::model::Underscores;

use super::fields::parse_line;
use crate::cause::Rule;
use crate::message::Known;

const MAX_BYTES: usize = 8 * 1024;
const MAX_LINES: usize = 64;

/// Collects lines. Nothing is allocated while there are none.
#[derive(Debug, Clone, Default)]
pub(super) struct TrailerCollector {
    /// The kept lines, then the one that is being collected.
    kept: Vec<u8>,
    line_start: usize,
    bytes: usize,
    lines: usize,
}

impl TrailerCollector {
    /// Takes bytes up to and with the next LF; how many, and whether a line ended.
    pub(super) fn collect(
        &mut self,
        input: &[u8],
        underscores_spoof: bool,
    ) -> Result<(usize, bool), Rule> {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |at| at + 1);
        self.bytes += taken;
        if self.bytes > MAX_BYTES {
            return Err(Rule::TrailerBytes);
        }
        self.kept.extend_from_slice(&input[..taken]);
        if end.is_some() {
            self.finish_line(underscores_spoof)?;
        }
        Ok((taken, end.is_some()))
    }

    fn finish_line(&mut self, underscores_spoof: bool) -> Result<(), Rule> {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err(Rule::TrailerLines);
        }
        let line = &self.kept[self.line_start..];
        let (field, next) = parse_line(line, 0, Underscores::Allow)?.ok_or(Rule::BareLineFeed)?;
        if next != line.len() {
            return Err(Rule::BareLineFeed);
        }
        let name = field.name.of(line);
        if !may_follow(name, field.known, underscores_spoof) {
            self.kept.truncate(self.line_start);
        }
        self.line_start = self.kept.len();
        Ok(())
    }

    /// The kept lines, each with its CRLF. To be asked once the section is complete.
    pub(super) fn lines(&self) -> &[u8] {
        &self.kept
    }
}

/// Whether a trailer of this name is passed on.
pub(crate) fn may_follow(name: &[u8], known: Known, underscores_spoof: bool) -> bool {
    known == Known::Other && !is_dropped(name) && !(underscores_spoof && name.contains(&b'_'))
}

/// Of the names beyond those in [`Known`], all of which are dropped.
fn is_dropped(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 22] = [
        b"authorization",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"www-authenticate",
        b"authentication-info",
        b"set-cookie",
        b"cache-control",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"content-location",
        b"max-forwards",
        b"pragma",
        b"range",
        b"if-match",
        b"age",
        b"expires",
        b"location",
        b"retry-after",
        b"vary",
        b"x-real-ip",
    ];
    const PREFIXES: [&[u8]; 3] = [b"x-forwarded-", b"if-", b"access-control-"];
    NAMES.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
        || PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
}
