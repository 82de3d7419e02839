//! What policies change in one head on its way: names that do not go on, and lines that are added.
//!
//! Reused from request to request, so that a change costs a copy and no allocation. The edits that
//! a route's configuration writes ([`Edits`](super::edits::Edits)) come after these and win: they
//! may remove what a policy adds.

use super::known::known;
use super::syntax::is_text_byte;
use crate::message::{Known, KnownSet, Span};

/// Changes to one head. Names are written in lower case.
#[derive(Debug, Default)]
pub struct Changes {
    /// Names to drop that the engine knows, and those that it does not, one behind the other.
    known: KnownSet,
    names: Vec<u8>,
    spans: Vec<Span>,
    /// Whole lines, `name: value`, each with its CRLF.
    lines: Vec<u8>,
}

impl Changes {
    /// Keeps the allocations.
    pub fn clear(&mut self) {
        self.known = KnownSet::EMPTY;
        self.names.clear();
        self.spans.clear();
        self.lines.clear();
    }

    /// Lines of this name do not go on, nor does one that was set or added before.
    pub fn remove(&mut self, name: &str) {
        debug_assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()));
        self.forget(name);
        match known(name.as_bytes()) {
            // Claims of several names are of one kind.
            Known::Other | Known::OtherClaim if !self.names_any(name.as_bytes()) => {
                let start = offset(self.names.len());
                self.names.extend_from_slice(name.as_bytes());
                self.spans.push(Span { start, end: offset(self.names.len()) });
            }
            Known::Other | Known::OtherClaim => {}
            known => self.known = self.known.with(known),
        }
    }

    /// Leaves one line of this name. The value is written piece after piece.
    pub fn set(&mut self, name: &str, value: &[&[u8]]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Adds a line to those that are there. The value is written piece after piece; it comes from
    /// the configuration or from a head that was judged, so it holds no byte that ends a line.
    pub fn add(&mut self, name: &str, value: &[&[u8]]) {
        debug_assert!(value.iter().all(|piece| piece.iter().all(|&byte| is_text_byte(byte))));
        for piece in [name.as_bytes(), b": "].iter().chain(value).chain([&&b"\r\n"[..]]) {
            self.lines.extend_from_slice(piece);
        }
    }

    pub fn is_empty(&self) -> bool {
        !self.drops_any() && self.lines.is_empty()
    }

    pub(crate) fn drops_any(&self) -> bool {
        !self.known.is_empty() || !self.spans.is_empty()
    }

    /// Whether a line that arrived does not go on.
    pub(crate) fn drops(&self, name: &[u8], known: Known) -> bool {
        match known {
            Known::Other | Known::OtherClaim => self.names_any(name),
            known => self.known.contains(known),
        }
    }

    /// The lines to add, in the order in which they were added.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    fn names_any(&self, name: &[u8]) -> bool {
        self.spans.iter().any(|span| is_one_variable(span.of(&self.names), name))
    }

    /// Takes back the lines of this name that were added before.
    fn forget(&mut self, name: &str) {
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.lines[start..]).map(|at| at + 1) {
            let line = &self.lines[start..start + length];
            let is_it = line.strip_prefix(name.as_bytes()).is_some_and(|it| it.starts_with(b": "));
            if is_it {
                self.lines.drain(start..start + length);
            } else {
                start += length;
            }
        }
    }
}

/// Whether two names are one to servers that turn names into variables, which read `_` and `.` as
/// `-`, in any case.
fn is_one_variable(one: &[u8], other: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b'_' | b'.' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    one.len() == other.len() && one.iter().map(folded).eq(other.iter().map(folded))
}

/// Policies write a few lines of a few hundred bytes.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(changes: &Changes) -> &str {
        std::str::from_utf8(changes.lines()).unwrap()
    }

    #[test]
    fn what_is_set_replaces_and_what_is_added_joins() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        changes.add("vary", &[b"origin"]);
        changes.add("vary", &[b"accept"]);
        changes.set("x-frame-options", &[b"DE", b"NY"]);
        changes.set("x-frame-options", &[b"SAMEORIGIN"]);
        assert_eq!(
            lines(&changes),
            "vary: origin\r\nvary: accept\r\nx-frame-options: SAMEORIGIN\r\n"
        );
        for (name, dropped) in [
            ("X-Frame-Options", true),
            ("x_frame.options", true),
            ("vary", false),
            ("x-frame", false),
            ("", false),
        ] {
            assert_eq!(changes.drops(name.as_bytes(), Known::Other), dropped, "{name}");
        }
        changes.remove("vary");
        assert_eq!(lines(&changes), "x-frame-options: SAMEORIGIN\r\n");
        assert!(changes.drops(b"Vary", Known::Other));
    }

    #[test]
    fn claims_are_dropped_by_their_names() {
        let mut changes = Changes::default();
        changes.set("x-forwarded-user", &[b"ada"]);
        assert!(changes.drops(b"X-Forwarded-User", Known::OtherClaim));
        assert!(!changes.drops(b"x-real-ip", Known::OtherClaim));
    }

    #[test]
    fn known_names_are_dropped_by_their_kind() {
        let mut changes = Changes::default();
        changes.remove("server");
        assert!(changes.drops(b"whatever", Known::Server) && changes.drops_any());
        assert!(!changes.drops(b"server", Known::Date));
        changes.clear();
        assert!(changes.is_empty() && !changes.drops(b"server", Known::Server));
    }
}
