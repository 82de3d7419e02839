//! Header edits of a route, prepared so that a head writer only compares names and copies bytes.
//!
//! The order is remove, set, add: a line leaves out every incoming field for which
//! [`PreparedEdits::removes`] holds, then appends [`PreparedEdits::lines`] as they are.

use portcullis_config::model::{HeaderEdits, HeaderValueEdit};

use crate::route::RouteFault;

/// The edits of one direction of a route.
#[derive(Debug, Default)]
pub struct PreparedEdits {
    /// In lower case: what is removed and what is set anew.
    names: Box<[Box<str>]>,
    /// Bit `n` is set when a name of `n` bytes is among `names` (63: or longer).
    lengths: u64,
    /// `name: value\r\n`, those set before those added.
    lines: Box<[u8]>,
}

impl PreparedEdits {
    /// # Errors
    /// A name that the proxy itself answers for, or a value that would break its line.
    pub fn compile(edits: &HeaderEdits) -> Result<Self, RouteFault> {
        let removed = edits.remove.iter().chain(edits.set.iter().map(|it| &it.name));
        let added = edits.add.iter().map(|it| &it.name);
        let mut names: Vec<Box<str>> = Vec::new();
        for name in removed.clone().chain(added) {
            if OWN.contains(&name.as_str()) {
                return Err(RouteFault::HeaderName(name.as_str().to_owned()));
            }
        }
        for name in removed {
            if !names.iter().any(|seen| **seen == *name.as_str()) {
                names.push(name.as_str().into());
            }
        }
        let lengths = names.iter().fold(0, |bits, name| bits | length_bit(name.len()));
        Ok(Self { names: names.into(), lengths, lines: lines(edits)?.into() })
    }

    /// Nothing to do: the head can be copied as it is.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.lines.is_empty()
    }

    /// Whether an incoming line of this name is left out.
    pub fn removes(&self, name: &[u8]) -> bool {
        self.lengths & length_bit(name.len()) != 0
            && self.names.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The lines to append, each with its line end.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Fields that frame a message or concern one connection: the codec writes them. `host` is set
/// by the route's host handling.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

fn lines(edits: &HeaderEdits) -> Result<Vec<u8>, RouteFault> {
    let mut lines = Vec::new();
    for (index, edit) in edits.set.iter().enumerate() {
        // Set twice, the last one stands.
        if !edits.set[index + 1..].iter().any(|later| later.name == edit.name) {
            push_line(&mut lines, edit)?;
        }
    }
    edits.add.iter().try_for_each(|edit| push_line(&mut lines, edit))?;
    Ok(lines)
}

fn push_line(lines: &mut Vec<u8>, edit: &HeaderValueEdit) -> Result<(), RouteFault> {
    let name = edit.name.as_str();
    let value = edit.value.expose();
    if !is_field_value(value) {
        return Err(RouteFault::HeaderValue(name.to_owned()));
    }
    for part in [name, ": ", value, "\r\n"] {
        lines.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

/// RFC 9110, section 5.5: no control but the tab, no space at either end.
pub(crate) fn is_field_value(value: &str) -> bool {
    value.trim_matches([' ', '\t']).len() == value.len()
        && value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

#[cfg(test)]
mod tests {
    use portcullis_config::text::Template;
    use portcullis_config::values::HeaderName;

    use super::*;

    fn name(text: &str) -> HeaderName {
        HeaderName::parse(text).unwrap()
    }

    fn edit(text: &str, value: &str) -> HeaderValueEdit {
        HeaderValueEdit { name: name(text), value: Template::plain(value) }
    }

    #[test]
    fn removes_then_sets_then_adds() {
        let edits = PreparedEdits::compile(&HeaderEdits {
            remove: vec![name("x-a"), name("X-B")],
            set: vec![edit("x-c", "0"), edit("x-c", "1"), edit("x-a", "2")],
            add: vec![edit("x-c", "3"), edit("x-b", "")],
        })
        .unwrap();
        for gone in ["x-a", "X-A", "x-b", "X-c"] {
            assert!(edits.removes(gone.as_bytes()), "{gone}");
        }
        for kept in ["x-d", "x-", "x-aa", "", "y-a"] {
            assert!(!edits.removes(kept.as_bytes()), "{kept}");
        }
        assert_eq!(edits.lines(), b"x-c: 1\r\nx-a: 2\r\nx-c: 3\r\nx-b: \r\n");
        assert!(!edits.is_empty());
    }

    #[test]
    fn names_beyond_the_length_bits_are_found() {
        let long = "x".repeat(80);
        let edits = HeaderEdits { remove: vec![name(&long)], ..HeaderEdits::default() };
        let edits = PreparedEdits::compile(&edits).unwrap();
        assert!(edits.removes(long.as_bytes()));
        assert!(!edits.removes("x".repeat(79).as_bytes()));
    }

    #[test]
    fn nothing_is_nothing() {
        let edits = PreparedEdits::compile(&HeaderEdits::default()).unwrap();
        assert!(edits.is_empty() && edits.lines().is_empty() && !edits.removes(b"x-a"));
    }

    #[test]
    fn values_cannot_break_out_of_their_line() {
        for value in ["a\r\nb: c", "a\n", "\r", "\0", "\x7f", " a", "a ", "a\x1bb"] {
            let edits = HeaderEdits { add: vec![edit("x-a", value)], ..HeaderEdits::default() };
            assert_eq!(
                PreparedEdits::compile(&edits).unwrap_err(),
                RouteFault::HeaderValue("x-a".to_owned()),
                "{value:?}"
            );
        }
    }

    #[test]
    fn what_frames_a_message_is_not_editable() {
        for own in OWN {
            let fault = RouteFault::HeaderName((*own).to_owned());
            let edits = HeaderEdits { remove: vec![name(own)], ..HeaderEdits::default() };
            assert_eq!(PreparedEdits::compile(&edits).unwrap_err(), fault);
            let edits = HeaderEdits { add: vec![edit(own, "1")], ..HeaderEdits::default() };
            assert_eq!(PreparedEdits::compile(&edits).unwrap_err(), fault);
        }
    }
}
