//! The repository's files, for the tests that judge them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Applies a rule to every file with this extension and fails with all that break it.
pub(crate) fn check_files(extension: &str, mut rule: impl FnMut(&Path, &str) -> Vec<String>) {
    let root = root();
    let found = files(extension);
    assert!(!found.is_empty(), "no file ends with .{extension}: the walk is broken");
    let mut wrong = String::new();
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        for fault in rule(&path, &text) {
            writeln!(wrong, "{}: {fault}", shown(&path, &root)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

pub(crate) fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            // What cargo, the fuzzer and benchmarks leave behind is no part of the repository.
            let ours = !["target", "corpus", "artifacts", "bench-results", ".git"]
                .contains(&name.as_ref());
            if entry.file_type().unwrap().is_dir() {
                if ours {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

pub(crate) fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
