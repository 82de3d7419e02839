//! Where a value came from: the file, line and column, and which level of inheritance set it.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in a configuration file. Lines and columns count from one, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    pub file: Arc<Path>,
    pub line: u32,
    pub column: u32,
    /// Byte range in the file, for the excerpt.
    pub start: usize,
    pub end: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A value with the place it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub location: Location,
}

/// A path from the configuration, made absolute against the file it stands in. Two are equal
/// when they name the same path, wherever they are written.
#[derive(Debug, Clone)]
pub struct FileRef {
    pub path: PathBuf,
    pub location: Location,
}

impl PartialEq for FileRef {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for FileRef {}

/// Which level set an effective value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No file says it: the built-in default.
    BuiltIn,
    Defaults(Location),
    Listener(Location),
    Upstream(Location),
    Route(Location),
    /// A `perTry` that no level says beside or below the `response` in force is as long as that,
    /// and comes from where that comes from.
    Response(Box<Origin>),
}

impl Origin {
    /// Where it is written; `None` of what is built in.
    pub fn place(&self) -> Option<&Location> {
        match self {
            Self::BuiltIn => None,
            Self::Defaults(at) | Self::Listener(at) | Self::Upstream(at) | Self::Route(at) => {
                Some(at)
            }
            Self::Response(response) => response.place(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => out.write_str("built-in default"),
            Self::Defaults(at) => write!(out, "defaults, {at}"),
            Self::Listener(at) => write!(out, "listener, {at}"),
            Self::Upstream(at) => write!(out, "upstream, {at}"),
            Self::Route(at) => write!(out, "route, {at}"),
            Self::Response(response) => write!(out, "as `response`: {response}"),
        }
    }
}

/// An effective value that remembers who set it. Two are equal when their values are.
#[derive(Debug, Clone)]
pub struct Sourced<T> {
    pub value: T,
    pub origin: Origin,
}

impl<T> Sourced<T> {
    pub fn built_in(value: T) -> Self {
        Self { value, origin: Origin::BuiltIn }
    }
}

impl<T: PartialEq> PartialEq for Sourced<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Deref for Sourced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
