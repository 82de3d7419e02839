//! One file: its text, what it says, and what is wrong with it alone.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conceal;
use crate::diagnostics::{Diagnostic, Report, Sources};
use crate::location::Location;
use crate::raw;
use crate::secrets::SecretSource;
use crate::tree::{self, FILE_BYTES};

#[derive(Debug)]
pub(super) struct Unit {
    pub(super) path: PathBuf,
    /// `None` when the report says why it cannot be read.
    pub(super) document: Option<raw::Document>,
    pub(super) report: Report,
    pub(super) sources: Sources,
}

impl Unit {
    pub(super) fn read(path: &Path, secrets: &dyn SecretSource) -> Self {
        match text(path) {
            Ok(text) => Self::parse(path, &text, secrets),
            Err(message) => {
                let file = Arc::from(path);
                let start = Location { file, line: 1, column: 1, start: 0, end: 0 };
                let mut report = Report::new();
                report.push(Diagnostic::error(
                    start,
                    format!("cannot read `{}`: {message}", path.display()),
                ));
                Self { path: path.to_owned(), document: None, report, sources: Sources::default() }
            }
        }
    }

    pub(super) fn parse(path: &Path, text: &str, secrets: &dyn SecretSource) -> Self {
        let file: Arc<Path> = Arc::from(path);
        let mut report = Report::new();
        let node = tree::parse(&file, text, &mut report);
        let concealed = match &node {
            Some(node) => conceal::in_tree(node),
            None => conceal::in_text(text),
        };
        let mut sources = Sources::default();
        sources.insert(file, text, &concealed);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let base = absolute.parent().unwrap_or(Path::new("/"));
        let document = node.and_then(|node| raw::read(&node, base, secrets, &mut report));
        Self { path: path.to_owned(), document, report, sources }
    }
}

fn text(path: &Path) -> Result<String, String> {
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    // One byte too many lets the parser refuse it as too large.
    let limit = FILE_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}
