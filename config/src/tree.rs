//! YAML as a tree in which every key and value knows its place.
//!
//! It knows YAML and its traps, and no key of the format.

mod parse;

use crate::location::{Located, Location};

pub(crate) use parse::parse;

/// Bytes of one file.
pub(crate) const FILE_BYTES: usize = 4 * 1024 * 1024;
/// Values in one file, aliases expanded.
const NODES: usize = 100_000;
/// Levels of nesting, aliases expanded.
const DEPTH: usize = 48;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) location: Location,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Scalar {
        text: String,
        /// Written without quotes, so that it may be a number, a boolean or nothing.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Located<String>,
    pub(crate) value: Node,
}

impl Node {
    /// What it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.content {
            Content::Scalar { .. } if self.is_null() => "nothing",
            Content::Scalar { plain: true, text } if is_boolean(text) => "a boolean",
            Content::Scalar { plain: true, text } if text.parse::<f64>().is_ok() => "a number",
            Content::Scalar { .. } => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

pub(crate) fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// What YAML 1.1 tools read as a boolean although YAML 1.2 does not, with its meaning.
pub(crate) fn old_boolean(text: &str) -> Option<bool> {
    match text {
        "on" | "On" | "ON" | "yes" | "Yes" | "YES" => Some(true),
        "off" | "Off" | "OFF" | "no" | "No" | "NO" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
