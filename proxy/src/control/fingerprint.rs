//! A fingerprint of the files' content: whether there is anything to reload.
//!
//! A watched folder reports changes of other files too, such as an access log beside the
//! configuration. It is computed before a load, so that a change during the load is noticed later.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use portcullis_config::model::Config;

/// Bytes of one file that are looked at; the loader takes less.
const MOST: u64 = 16 * 1024 * 1024;

/// The files of a configuration, and the files with its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub number: u64,
    /// The targets of `${file:path}`, whose folders must be watched too.
    pub referenced: Vec<PathBuf>,
}

/// The files that policies of a configuration name, and which versions stood there when they were
/// about to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    pub files: Vec<PathBuf>,
    versions: u64,
}

impl PolicyFiles {
    pub fn of(config: &Config) -> Self {
        let files = config.policy_files().into_iter().map(|file| file.path.clone()).collect();
        Self::at(files)
    }

    fn at(files: Vec<PathBuf>) -> Self {
        let versions = of_versions(files.iter().map(AsRef::as_ref));
        Self { files, versions }
    }

    /// Whether another version of one stands there now.
    pub fn changed(&self) -> bool {
        Self::at(self.files.clone()).versions != self.versions
    }
}

/// Reads a configuration file, or the files of a directory, with what they refer to.
pub fn of_configuration(path: &Path) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    let mut referenced = Vec::new();
    for file in files(path) {
        let text = read(&file);
        for reference in references(text.as_deref().unwrap_or_default()) {
            referenced.push(file.parent().unwrap_or(Path::new("")).join(reference));
        }
        (file, text).hash(&mut hasher);
    }
    for file in &referenced {
        read(file).hash(&mut hasher);
    }
    Fingerprint { number: hasher.finish(), referenced }
}

/// The versions of these files, without reading their content.
pub fn of_versions<'a>(files: impl IntoIterator<Item = &'a Path>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let version = std::fs::metadata(file).ok().map(|it| {
            (it.dev(), it.ino(), it.len(), it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec())
        });
        version.hash(&mut hasher);
    }
    hasher.finish()
}

fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|it| it == "yaml" || it == "yml");
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_yaml).collect();
    files.sort();
    files
}

fn read(file: &Path) -> Option<Vec<u8>> {
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// One too many, in a comment perhaps, does no harm.
fn references(text: &[u8]) -> Vec<PathBuf> {
    const OPENING: &[u8] = b"${file:";
    memchr::memmem::find_iter(text, OPENING)
        .filter_map(|at| {
            let rest = &text[at + OPENING.len()..];
            let end = memchr::memchr2(b'}', b'\n', rest).filter(|end| rest[*end] == b'}')?;
            Some(PathBuf::from(std::str::from_utf8(&rest[..end]).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_files_say_counts_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        let now = || of_configuration(folder.path()).number;
        write("a.yaml", "version: v1\ntoken: ${file:secret}\n").unwrap();
        let first = now();
        write("access.log", "a line\n").unwrap();
        write("a.yaml", "version: v1\ntoken: ${file:secret}\n").unwrap();
        assert_eq!(now(), first);
        write("secret", "hush").unwrap();
        let second = now();
        assert_ne!(second, first);
        write("secret", "hash").unwrap();
        assert_ne!(now(), second);
        write("b.yml", "").unwrap();
        let third = now();
        write("b.yml", "#").unwrap();
        assert_ne!(now(), third);
    }

    #[test]
    fn references_are_found_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "a: ${file:x/y} ${file:open\nb: '${file:/z}'").unwrap();
        let expected = vec![folder.path().join("x/y"), PathBuf::from("/z")];
        assert_eq!(of_configuration(&file).referenced, expected);
    }

    #[test]
    fn a_replaced_file_has_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.crt");
        let now = || of_versions([file.as_path()]);
        let none = now();
        std::fs::write(&file, "one").unwrap();
        let one = now();
        std::fs::write(folder.path().join("b"), "two").unwrap();
        std::fs::rename(folder.path().join("b"), &file).unwrap();
        assert!(none != one && one != now());
    }
}
