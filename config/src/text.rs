//! Text that may name secrets: what it says is used, how it was written is shown.

use std::fmt;

/// A string whose `${env:NAME}` and `${file:path}` references have been resolved.
///
/// Everything that prints a configuration prints [`Template::source`], so a secret cannot
/// leave by accident; [`Template::expose`] is the one way to its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    resolved: String,
}

impl Template {
    pub fn new(source: impl Into<String>, resolved: impl Into<String>) -> Self {
        Self { source: source.into(), resolved: resolved.into() }
    }

    /// A text without references.
    pub fn plain(text: impl Into<String>) -> Self {
        let source = text.into();
        Self { resolved: source.clone(), source }
    }

    /// As written, references unresolved.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// With its references resolved.
    pub fn expose(&self) -> &str {
        &self.resolved
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Template({:?})", self.source)
    }
}
