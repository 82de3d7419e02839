//! Names that must be unique, and what refers to them.

use std::collections::HashMap;

use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::suggest;

/// The named things of one kind, by their place in the list.
pub(super) struct Names<'a> {
    kind: &'static str,
    known: HashMap<&'a str, (usize, &'a Location)>,
    ordered: Vec<&'a str>,
    /// Whether every one could be read; otherwise nobody knows that a name is missing.
    complete: bool,
}

impl<'a> Names<'a> {
    /// Reports names that stand twice.
    pub(super) fn new<T: 'a>(
        kind: &'static str,
        items: impl Iterator<Item = &'a &'a Located<T>>,
        name: impl Fn(&'a T) -> &'a Option<Located<String>>,
        complete: bool,
        report: &mut Report,
    ) -> Self {
        let mut names = Self { kind, known: HashMap::new(), ordered: Vec::new(), complete };
        for (index, item) in items.enumerate() {
            let Some(name) = name(&item.value) else {
                names.complete = false;
                continue;
            };
            if let Some((_, first)) = names.known.get(name.value.as_str()) {
                report.push(
                    Diagnostic::error(
                        name.location.clone(),
                        format!("two {kind}s are named `{}`", name.value),
                    )
                    .related((*first).clone(), "the first one stands here"),
                );
                continue;
            }
            names.known.insert(&name.value, (index, &name.location));
            names.ordered.push(&name.value);
        }
        names
    }

    /// The place of what a name refers to, or a report of what may have been meant.
    pub(super) fn find(&self, name: &Located<String>, report: &mut Report) -> Option<usize> {
        if let Some((index, _)) = self.known.get(name.value.as_str()) {
            return Some(*index);
        }
        if !self.complete {
            return None;
        }
        let mut dangling = Diagnostic::error(
            name.location.clone(),
            format!("there is no {} `{}`", self.kind, name.value),
        )
        .across();
        dangling.help = suggest::help(&name.value, &self.ordered);
        report.push(dangling);
        None
    }
}
