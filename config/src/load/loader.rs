//! Loading again and again: each file of a directory keeps its last good version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::unit::Unit;
use super::{Failed, Loaded, assemble, files, without_files};
use crate::diagnostics::{Report, Scope, Severity, Sources};
use crate::secrets::{SecretSource, SystemSecrets};

/// Loads a configuration and remembers what was good.
///
/// A file of a directory that is wrong by itself is replaced by its last good version, or left
/// out when it has none, and the others load. An error across files is nobody's alone: then
/// nothing loads and the generation in force stays. So does it for a single file. Before the
/// first [`Loader::commit`] any error refuses.
pub struct Loader {
    path: PathBuf,
    secrets: Box<dyn SecretSource + Send + Sync>,
    good: Option<Units>,
    pending: Option<Units>,
}

type Units = BTreeMap<PathBuf, Arc<Unit>>;

/// What one [`Loader::load`] came to.
#[derive(Debug)]
pub struct Outcome {
    /// The next generation, or why the old one stays.
    pub result: Result<Loaded, Failed>,
    /// Files whose present text is not in use, also when the result is good.
    pub stale: Vec<Stale>,
}

/// A file that keeps its last good version, or is left out when it never had one.
#[derive(Debug)]
pub struct Stale {
    pub file: PathBuf,
    /// What is wrong with its present text.
    pub report: Report,
    /// Its present text.
    pub sources: Sources,
}

impl Loader {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with_secrets(path, Box::new(SystemSecrets))
    }

    /// With references looked up elsewhere.
    pub fn with_secrets(
        path: impl Into<PathBuf>,
        secrets: Box<dyn SecretSource + Send + Sync>,
    ) -> Self {
        Self { path: path.into(), secrets, good: None, pending: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads everything again. What it read counts as good only once it is committed, for the
    /// world may still refuse it.
    pub fn load(&mut self) -> Outcome {
        self.pending = None;
        let files = match files::list(&self.path) {
            Ok(files) => files,
            Err(report) => {
                return Outcome { result: Err(without_files(report)), stale: Vec::new() };
            }
        };
        let read = |file: PathBuf| {
            let unit = Arc::new(Unit::read(&file, &*self.secrets));
            (file, unit)
        };
        let fresh: Units = files.into_iter().map(read).collect();
        let mut chosen = Chosen { units: fresh, stale: Vec::new() };
        let good = self.good.as_ref().filter(|_| self.path.is_dir());
        if let Some(good) = good {
            chosen.replace_unreadable(good);
        }
        loop {
            let units: Vec<_> = chosen.units.values().map(Arc::as_ref).collect();
            let result = assemble(&units);
            if let (Err(failed), Some(good)) = (&result, good)
                && chosen.replace_failed(failed, good)
            {
                continue;
            }
            if result.is_ok() {
                self.pending = Some(chosen.units);
            }
            return Outcome { result, stale: chosen.stale };
        }
    }

    /// Says that the last load is in force: its files are what later broken ones fall back to.
    pub fn commit(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.good = Some(pending);
        }
    }
}

/// The versions of the files that are put together.
struct Chosen {
    units: Units,
    stale: Vec<Stale>,
}

impl Chosen {
    /// Replaces files that already reading them has found wrong.
    fn replace_unreadable(&mut self, good: &Units) {
        let wrong = self.units.values().filter(|unit| unit.report.has_errors());
        let wrong: Vec<_> = wrong.map(|unit| (unit.path.clone(), unit.report.clone())).collect();
        for (file, report) in wrong {
            self.replace(&file, report, good);
        }
    }

    /// Replaces files in which putting all together has found errors of their own. Each file is
    /// replaced at most once, so this comes to an end.
    fn replace_failed(&mut self, failed: &Failed, good: &Units) -> bool {
        let mut wrong: BTreeMap<PathBuf, Report> = BTreeMap::new();
        for one in failed.report.iter() {
            if let Some(at) = &one.location
                && one.severity == Severity::Error
                && one.scope == Scope::File
                && !self.stale.iter().any(|stale| *stale.file == *at.file)
            {
                wrong.entry(at.file.to_path_buf()).or_default().push(one.clone());
            }
        }
        let any = !wrong.is_empty();
        for (file, report) in wrong {
            self.replace(&file, report, good);
        }
        any
    }

    fn replace(&mut self, file: &Path, report: Report, good: &Units) {
        let Some(unit) = self.units.remove(file) else { return };
        if let Some(good) = good.get(file) {
            self.units.insert(file.to_owned(), good.clone());
        }
        self.stale.push(Stale { file: file.to_owned(), report, sources: unit.sources.clone() });
    }
}

#[cfg(test)]
mod tests;
