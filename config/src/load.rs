//! From a path to a configuration: one file, or every file of a directory.

mod conceal;
mod files;
mod loader;
mod unit;

use std::path::Path;

use crate::diagnostics::{Report, Scope, Severity, Sources};
use crate::lower::lower;
use crate::model::Config;
use crate::secrets::{SecretSource, SystemSecrets};

pub use loader::{Loader, Outcome, Stale};
use unit::Unit;

/// A configuration that holds, with the texts that its locations point into.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    pub sources: Sources,
    /// Legal, but probably not what was meant.
    pub warnings: Report,
}

/// Why there is no configuration, and the texts to show it on.
#[derive(Debug, Clone)]
pub struct Failed {
    pub sources: Sources,
    /// Holds at least one error.
    pub report: Report,
}

/// Loads a file, or every `*.yaml` and `*.yml` of a directory in the order of their names: lists
/// are joined, and keys like `admin` may stand in one of them.
pub fn load(path: &Path) -> Result<Loaded, Failed> {
    load_with(path, &SystemSecrets)
}

/// [`load`] with references looked up elsewhere.
pub fn load_with(path: &Path, secrets: &dyn SecretSource) -> Result<Loaded, Failed> {
    let files = files::list(path).map_err(without_files)?;
    let units: Vec<_> = files.iter().map(|file| Unit::read(file, secrets)).collect();
    assemble(&units.iter().collect::<Vec<_>>())
}

/// Loads a text as if it stood in a file of that name.
pub fn parse_str(name: &str, text: &str) -> Result<Loaded, Failed> {
    parse_str_with(name, text, &SystemSecrets)
}

/// [`parse_str`] with references looked up elsewhere.
pub fn parse_str_with(
    name: &str,
    text: &str,
    secrets: &dyn SecretSource,
) -> Result<Loaded, Failed> {
    assemble(&[&Unit::parse(Path::new(name), text, secrets)])
}

fn without_files(report: Report) -> Failed {
    Failed { sources: Sources::default(), report }
}

/// Joins files that have been read one by one.
fn assemble(units: &[&Unit]) -> Result<Loaded, Failed> {
    let mut sources = Sources::default();
    let mut report = Report::new();
    for unit in units {
        sources.extend(unit.sources.clone());
        report.extend(unit.report.clone());
    }
    let documents: Vec<_> = units.iter().filter_map(|unit| unit.document.as_ref()).collect();
    let mut lowered = Report::new();
    let config = lower(&documents, &mut lowered);
    if documents.len() == units.len() {
        report.extend(lowered);
    } else {
        // What an unreadable file declares is unknown: that others refer to it is no error yet.
        for one in lowered.iter() {
            if one.severity == Severity::Error && one.scope == Scope::File {
                report.push(one.clone());
            }
        }
    }
    report.sort();
    match config.filter(|_| !report.has_errors()) {
        Some(config) => Ok(Loaded { config, sources, warnings: report }),
        None => Err(Failed { sources, report }),
    }
}
