//! The path that an upstream sees instead of the one that matched. The query is never touched.
//!
//! The result is normalised again: prefixes and whole paths when they are prepared, the result of a
//! regex like a client's path, or it is refused.

use portcullis_config::model;
use regex::Regex;

use super::PolicyFault;
use crate::cause::Rule;
use crate::target::path::{self, EncodedSlash};
use crate::target::{normal_path, normal_prefix};

/// No rewritten path is longer, whatever a regex makes of it.
const MAX_PATH: usize = 60 * 1024;

/// A rewrite, prepared.
#[derive(Debug)]
pub enum Rewrite {
    Prefix(PrefixSwap),
    /// The whole path.
    Path(Box<[u8]>),
    Regex {
        pattern: Regex,
        replacement: Box<str>,
        slash: EncodedSlash,
    },
}

impl Rewrite {
    /// # Errors
    /// A prefix for a route that has `matched` none, or a path that no request could have.
    pub fn compile(
        rewrite: &model::Rewrite,
        matched: Option<&[u8]>,
        allow_encoded_slash: bool,
    ) -> Result<Self, PolicyFault> {
        Ok(match rewrite {
            model::Rewrite::Prefix(with) => {
                Self::Prefix(PrefixSwap::compile(with, matched, allow_encoded_slash)?)
            }
            model::Rewrite::Path(with) => Self::Path(normal_path(with, allow_encoded_slash)?),
            model::Rewrite::Regex { pattern, replacement } => Self::Regex {
                pattern: pattern.clone(),
                replacement: replacement.as_str().into(),
                slash: if allow_encoded_slash { EncodedSlash::Keep } else { EncodedSlash::Refuse },
            },
        })
    }

    /// Writes the new path into `out`. `*` is not a path and stays.
    ///
    /// # Errors
    /// [`Rule::PathRewritten`] when a regex makes something that is no path,
    /// [`Rule::PathRewrittenLong`] when it makes too much.
    pub fn apply(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
        out.clear();
        match self {
            _ if path == b"*" => out.extend_from_slice(path),
            Self::Prefix(swap) => swap.apply(path, out),
            Self::Path(whole) => out.extend_from_slice(whole),
            Self::Regex { pattern, replacement, slash } => {
                let path = std::str::from_utf8(path).map_err(|_| Rule::PathRewritten)?;
                let made = replace_all(pattern, path, replacement)?;
                let mut scratch = Vec::new();
                match made.as_bytes() {
                    // The empty path of a URL is the root, but an empty result is a mistake.
                    b"" | b"*" => return Err(Rule::PathRewritten),
                    made => {
                        let normal = path::normalise(made, &mut scratch, *slash);
                        out.extend_from_slice(normal.map_err(|_| Rule::PathRewritten)?);
                    }
                }
            }
        }
        if out.len() > MAX_PATH { Err(Rule::PathRewrittenLong) } else { Ok(()) }
    }
}

/// One prefix for another, by whole segments (Gateway API, `ReplacePrefixMatch`).
#[derive(Debug)]
pub struct PrefixSwap {
    /// How much of a matching path the prefix takes.
    taken: usize,
    with: Box<[u8]>,
}

impl PrefixSwap {
    pub(crate) fn compile(
        with: &str,
        matched: Option<&[u8]>,
        allow_encoded_slash: bool,
    ) -> Result<Self, PolicyFault> {
        let taken = matched.ok_or(PolicyFault::PrefixWithoutMatch)?.len();
        Ok(Self { taken, with: normal_prefix(with, allow_encoded_slash)? })
    }

    /// Appends the path with its prefix replaced.
    pub(crate) fn apply(&self, path: &[u8], out: &mut Vec<u8>) {
        let rest = path.get(self.taken..).unwrap_or_default();
        if self.with.is_empty() && rest.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(&self.with);
        out.extend_from_slice(rest);
    }
}

/// `Regex::replace_all`, stopped before a path of many matches can grow without bound.
fn replace_all(pattern: &Regex, path: &str, replacement: &str) -> Result<String, Rule> {
    let mut made = String::with_capacity(path.len() + replacement.len());
    let mut copied = 0;
    for captures in pattern.captures_iter(path) {
        let Some(whole) = captures.get(0) else { break };
        made.push_str(&path[copied..whole.start()]);
        captures.expand(replacement, &mut made);
        copied = whole.end();
        if made.len() > MAX_PATH {
            return Err(Rule::PathRewrittenLong);
        }
    }
    made.push_str(&path[copied..]);
    Ok(made)
}
