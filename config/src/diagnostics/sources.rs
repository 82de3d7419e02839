//! The texts that diagnostics quote, with literal secrets blotted out.
//!
//! A blot keeps the length of what it covers, so every byte range stays right.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::location::Location;

/// The text of every file of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: BTreeMap<Arc<Path>, Arc<str>>,
}

impl Sources {
    /// Adds a file; the ranges of `concealed` are shown as stars.
    pub(crate) fn insert(&mut self, file: Arc<Path>, text: &str, concealed: &[Range<usize>]) {
        self.files.insert(file, blot(text, concealed).into());
    }

    pub(crate) fn extend(&mut self, other: Sources) {
        self.files.extend(other.files);
    }

    /// The text of a file as it may be shown.
    pub fn text(&self, file: &Path) -> Option<&str> {
        self.files.get(file).map(AsRef::as_ref)
    }

    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(AsRef::as_ref)
    }

    /// The line of a location, and the location's range in it, never empty unless the line is.
    pub(super) fn excerpt(&self, at: &Location) -> Option<(&str, Range<usize>)> {
        let text = self.text(&at.file)?;
        let start = floor_boundary(text, at.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let from = (start - line_start).min(line.len());
        let to = floor_boundary(text, at.end).clamp(line_start, line_end) - line_start;
        let to = to.clamp(from, line.len());
        let one = line[from..].chars().next().map_or(0, char::len_utf8);
        Some((line, from..to.max(from + one)))
    }
}

fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn blot(text: &str, concealed: &[Range<usize>]) -> String {
    let hidden = |at: usize| concealed.iter().any(|range| range.contains(&at));
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if hidden(at) && !matches!(character, '\n' | '\r') {
            shown.extend(std::iter::repeat_n('*', character.len_utf8()));
        } else {
            shown.push(character);
        }
    }
    shown
}
