//! Header edits of a route, prepared once so that a request pays for what is edited only.

use portcullis_config::model::{HeaderEdits, HeaderValueEdit};
use portcullis_config::values::HeaderName;

use super::fields::is_one_of;
use super::known::known;
use super::syntax::{is_text_byte, trim};
use crate::message::{Known, KnownSet};

/// Why edits cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("`{0}` is set by the proxy itself and cannot be edited")]
    Reserved(String),
    /// The value is not shown: it may be a secret.
    #[error("the value of `{0}` holds a line break or another control character")]
    Value(String),
}

/// Removed, set and added fields in the form that the writers want.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    known: KnownSet,
    /// Names to drop that the engine does not know, in lower case.
    names: Vec<HeaderName>,
    /// Bit n: a name of n bytes is among `names`; longer ones share the last bit.
    lengths: u64,
    /// What is set and added, as `name: value` lines with their CRLF.
    lines: Vec<u8>,
    /// The names the engine knows among `lines`.
    written: KnownSet,
}

/// The framing is computed, the connection is ours, and the host has its own setting.
const RESERVED: KnownSet = KnownSet::of(&[
    Known::Host,
    Known::Connection,
    Known::ContentLength,
    Known::TransferEncoding,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::Upgrade,
    Known::Expect,
]);

impl Edits {
    /// # Errors
    /// The first edit that would break the framing or the head.
    pub fn try_new(edits: &HeaderEdits) -> Result<Self, EditError> {
        let mut prepared = Self::default();
        for name in &edits.remove {
            prepared.drop_name(name)?;
        }
        for (index, edit) in edits.set.iter().enumerate() {
            prepared.drop_name(&edit.name)?;
            let line = EditedLine::try_new(edit)?;
            // Setting leaves one value: a later edit of the same name takes this one's place.
            if edits.set[index + 1..].iter().all(|later| later.name != edit.name) {
                prepared.write(&line);
            }
        }
        for edit in &edits.add {
            prepared.write(&EditedLine::try_new(edit)?);
        }
        Ok(prepared)
    }

    fn drop_name(&mut self, name: &HeaderName) -> Result<(), EditError> {
        match permitted(name)? {
            // Claims of several names are of one kind.
            Known::Other | Known::OtherClaim => {
                self.lengths |= length_bit(name.as_str().len());
                self.names.push(name.clone());
            }
            known => self.known = self.known.with(known),
        }
        Ok(())
    }

    fn write(&mut self, line: &EditedLine<'_>) {
        self.written = self.written.with(line.known);
        for piece in [line.name.as_bytes(), b": ", line.value, b"\r\n"] {
            self.lines.extend_from_slice(piece);
        }
    }

    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.drops_any() && self.lines.is_empty()
    }

    pub(super) fn drops_any(&self) -> bool {
        !self.known.is_empty() || self.lengths != 0
    }

    /// Whether a line that arrived, or one that the proxy adds, gives way.
    pub(crate) fn drops(&self, name: &[u8], known: Known) -> bool {
        match known {
            Known::Other | Known::OtherClaim => {
                self.lengths & length_bit(name.len()) != 0 && is_one_of(name, &self.names)
            }
            known => self.known.contains(known),
        }
    }

    pub(crate) fn writes(&self, known: Known) -> bool {
        self.written.contains(known)
    }

    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// A line that may stand in a head, whatever else stands there.
struct EditedLine<'a> {
    name: &'a str,
    known: Known,
    value: &'a [u8],
}

impl<'a> EditedLine<'a> {
    fn try_new(edit: &'a HeaderValueEdit) -> Result<Self, EditError> {
        let known = permitted(&edit.name)?;
        let (name, value) = (edit.name.as_str(), trim(edit.value.expose().as_bytes()));
        if !value.iter().all(|&byte| is_text_byte(byte)) {
            return Err(EditError::Value(name.to_owned()));
        }
        Ok(Self { name, known, value })
    }
}

fn permitted(name: &HeaderName) -> Result<Known, EditError> {
    let known = known(name.as_str().as_bytes());
    if RESERVED.contains(known) {
        return Err(EditError::Reserved(name.as_str().to_owned()));
    }
    Ok(known)
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

#[cfg(test)]
mod tests {
    use portcullis_config::text::Template;

    use super::*;

    fn edit(name: &str, value: &str) -> HeaderValueEdit {
        HeaderValueEdit { name: HeaderName::parse(name).unwrap(), value: Template::plain(value) }
    }

    #[test]
    fn what_would_break_a_message_is_refused() {
        for name in ["host", "Content-Length", "transfer-encoding", "connection", "te", "expect"] {
            let set = HeaderEdits { set: vec![edit(name, "x")], ..HeaderEdits::default() };
            let refused = Edits::try_new(&set).map(|_| ());
            assert_eq!(refused, Err(EditError::Reserved(name.to_ascii_lowercase())));
        }
        for value in ["a\r\nb: c", "a\nb", "a\0", "a\x7f"] {
            let add = HeaderEdits { add: vec![edit("x-a", value)], ..HeaderEdits::default() };
            let refused = Edits::try_new(&add).map(|_| ());
            assert_eq!(refused, Err(EditError::Value("x-a".to_owned())));
        }
    }

    #[test]
    fn of_a_name_that_is_set_twice_the_last_value_is_written() {
        let edits = Edits::try_new(&HeaderEdits {
            set: vec![edit("x-a", "1"), edit("server", "s"), edit("X-A", "2"), edit("server", "t")],
            add: vec![edit("x-a", "3"), edit("x-a", "4")],
            ..HeaderEdits::default()
        });
        assert_eq!(edits.unwrap().lines(), b"x-a: 2\r\nserver: t\r\nx-a: 3\r\nx-a: 4\r\n");
        let set = vec![edit("x-a", "a\nb"), edit("x-a", "fine")];
        let refused = Edits::try_new(&HeaderEdits { set, ..HeaderEdits::default() });
        assert_eq!(refused.map(|_| ()), Err(EditError::Value("x-a".to_owned())));
    }

    #[test]
    fn names_are_matched_by_kind_length_and_case() {
        let long = "x".repeat(70);
        let edits = Edits::try_new(&HeaderEdits {
            remove: ["X-Debug", "server", &long]
                .map(|name| HeaderName::parse(name).unwrap())
                .into(),
            set: vec![edit("x-channel", " web ")],
            add: vec![edit("x-added", "1")],
        })
        .unwrap();
        for name in ["x-debug", "X-DEBUG", "x-channel", "Server", &long] {
            assert!(edits.drops(name.as_bytes(), known(name.as_bytes())), "{name}");
        }
        let longer = "x".repeat(71);
        for name in ["x-added", "x-debuh", "date", &longer] {
            assert!(!edits.drops(name.as_bytes(), known(name.as_bytes())), "{name}");
        }
        assert_eq!(edits.lines(), b"x-channel: web\r\nx-added: 1\r\n");
    }
}
