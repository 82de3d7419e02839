//! Which files make up a configuration.

use std::path::{Path, PathBuf};

use crate::diagnostics::{Diagnostic, Report};

/// Files of one directory.
const FILES: usize = 256;

/// The file itself, or the files of the directory in the order of their names.
pub(super) fn list(path: &Path) -> Result<Vec<PathBuf>, Report> {
    let unreadable =
        |error: std::io::Error| wrong(format!("cannot read `{}`: {error}", path.display()));
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file = entry.path();
        // Hidden names are editors' and, under Kubernetes, those of the volume's generations.
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let yaml = file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        // Follows links: Kubernetes mounts each file as one.
        if yaml && !hidden && std::fs::metadata(&file).is_ok_and(|metadata| !metadata.is_dir()) {
            files.push(file);
        }
    }
    files.sort();
    match files.len() {
        0 => Err(wrong(format!("no `*.yaml` or `*.yml` stands in `{}`", path.display()))),
        count if count > FILES => Err(wrong(format!(
            "`{}` holds {count} files, and a configuration at most {FILES}",
            path.display()
        ))),
        _ => Ok(files),
    }
}

fn wrong(message: String) -> Report {
    let mut report = Report::new();
    report.push(Diagnostic::error(None, message));
    report
}
