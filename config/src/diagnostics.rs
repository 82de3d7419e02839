//! What is wrong with a configuration: messages on places, told all at once.
//!
//! Any layer may speak through a [`Report`], also one that only learns later that a certificate
//! is missing. This module knows neither YAML nor the keys of the format.

mod render;
mod sources;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::location::Location;

pub use sources::Sources;

/// A report keeps this many diagnostics and counts the rest.
const KEPT: usize = 200;
const MESSAGE_CHARACTERS: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// Whose fault an error is, which decides what a broken file in a directory holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The file is wrong by itself.
    File,
    /// Several files, or the set of them, do not fit together.
    Across,
}

/// One finding: what is wrong, where, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Where, unless it concerns no place in a file.
    pub location: Option<Location>,
    pub message: String,
    /// The cure, for example the name that was probably meant.
    pub help: Option<String>,
    /// Other places that belong to it.
    pub related: Vec<Related>,
    pub(crate) scope: Scope,
}

/// A second place that explains the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    pub location: Location,
    pub message: String,
}

impl Diagnostic {
    pub fn error(location: impl Into<Option<Location>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, location.into(), message.into())
    }

    pub fn warning(location: impl Into<Option<Location>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, location.into(), message.into())
    }

    fn new(severity: Severity, location: Option<Location>, message: String) -> Self {
        let scope = if location.is_some() { Scope::File } else { Scope::Across };
        let message = shortened(message);
        Self { severity, location, message, help: None, related: Vec::new(), scope }
    }

    /// Adds the cure.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(shortened(help.into()));
        self
    }

    /// Adds a second place; one in another file makes it an error across files.
    #[must_use]
    pub fn related(mut self, location: Location, message: impl Into<String>) -> Self {
        if self.location.as_ref().is_some_and(|own| own.file != location.file) {
            self.scope = Scope::Across;
        }
        self.related.push(Related { location, message: message.into() });
        self
    }

    /// Says that what is wrong may lie in a file that is not named here.
    #[must_use]
    pub(crate) fn across(mut self) -> Self {
        self.scope = Scope::Across;
        self
    }
}

/// A message may quote a value, and a value may be as long as its file.
fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARACTERS) {
        message.truncate(end);
        message.push_str("...");
    }
    message
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("severity", &self.severity)?;
        map.serialize_entry("message", &self.message)?;
        if let Some(location) = &self.location {
            map.serialize_entry("location", &Place(location))?;
        }
        if let Some(help) = &self.help {
            map.serialize_entry("help", help)?;
        }
        if !self.related.is_empty() {
            map.serialize_entry("related", &self.related)?;
        }
        map.end()
    }
}

impl Serialize for Related {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("location", &Place(&self.location))?;
        map.end()
    }
}

/// A location as tools read it.
struct Place<'a>(&'a Location);

impl Serialize for Place<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("file", &self.0.file.to_string_lossy())?;
        map.serialize_entry("line", &self.0.line)?;
        map.serialize_entry("column", &self.0.column)?;
        map.serialize_entry("start", &self.0.start)?;
        map.serialize_entry("end", &self.0.end)?;
        map.end()
    }
}

/// Everything found in one run, in the order of the files.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    /// Found, but left out because there were too many.
    suppressed: usize,
    #[serde(skip)]
    errors: usize,
}

impl Report {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding, once: a default may be wrong for many. An error is never dropped in favour
    /// of a warning.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.location.is_some() && self.diagnostics.contains(&diagnostic) {
            return;
        }
        let error = diagnostic.severity == Severity::Error;
        self.errors += usize::from(error);
        if self.diagnostics.len() < KEPT {
            self.diagnostics.push(diagnostic);
            return;
        }
        self.suppressed += 1;
        if error
            && let Some(warning) = self.iter().position(|one| one.severity == Severity::Warning)
        {
            self.diagnostics.remove(warning);
            self.diagnostics.push(diagnostic);
        }
    }

    pub fn extend(&mut self, other: Report) {
        self.suppressed += other.suppressed;
        // Those that `other` counted but no longer holds stay counted.
        let held = other.iter().filter(|one| one.severity == Severity::Error).count();
        self.errors += other.errors - held;
        for diagnostic in other.diagnostics {
            self.push(diagnostic);
        }
    }

    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Errors found, also those that are no longer held.
    pub fn errors(&self) -> usize {
        self.errors
    }

    pub fn warnings(&self) -> usize {
        self.iter().filter(|one| one.severity == Severity::Warning).count()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.diagnostics.iter()
    }

    /// By file and place, errors before warnings at the same place, those without a place first.
    pub(crate) fn sort(&mut self) {
        self.diagnostics.sort_by_cached_key(|one| {
            let place = one.location.as_ref().map(|at| (at.file.clone(), at.start));
            (place, one.severity == Severity::Warning)
        });
    }

    /// For people: file, line, column, excerpt with a caret, and the cure.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        render::render(self, sources, color)
    }

    pub(crate) fn suppressed(&self) -> usize {
        self.suppressed
    }
}

impl<'a> IntoIterator for &'a Report {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
