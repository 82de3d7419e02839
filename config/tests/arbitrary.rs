//! No input makes the loader panic, and every failure says something that can be shown.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::Path;

use portcullis_config::{SecretSource, effective, parse_str_with};
use proptest::prelude::*;

/// No world: what a property finds is found again.
struct Nothing;

impl SecretSource for Nothing {
    fn environment(&self, _: &str) -> Result<String, String> {
        Err("it is not set".to_owned())
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there is no file".to_owned())
    }
}

fn check(text: &str) {
    match parse_str_with("a.yaml", text, &Nothing) {
        Ok(loaded) => {
            assert!(!loaded.warnings.has_errors());
            effective(&loaded.config);
            loaded.warnings.render(&loaded.sources, false);
        }
        Err(failed) => {
            assert!(failed.report.has_errors());
            assert!(!failed.report.render(&failed.sources, true).is_empty());
            serde_json::to_string(&failed.report).unwrap();
        }
    }
}

fn corpus() -> Vec<String> {
    let mut texts = Vec::new();
    for directory in ["examples", "tests/broken", "tests/doubtful"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        for entry in std::fs::read_dir(directory).unwrap() {
            texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    texts.sort();
    texts
}

/// What breaks YAML, the format, or both.
const PIECES: &[&str] = &[
    "",
    ":",
    "{",
    "}",
    "[",
    "]",
    "\n",
    "  ",
    "- ",
    "#",
    "\"",
    "'",
    "|\n",
    ">\n",
    "&a ",
    "*a",
    "!t ",
    "~",
    "null",
    "true",
    "off",
    "0",
    "-1",
    "99999999999999999999",
    "${env:",
    "${file:x}",
    "$${",
    "\u{fc}",
    "\u{feff}",
    "\u{1b}",
    "\t",
    "\r",
    "---\n",
    "...\n",
    "<<",
    "? ",
    "name",
    "version: v1\n",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text(text in "\\PC{0,200}|[-a-z:{}\\[\\],&*!|>'\"#%@ \t\r\n]{0,200}") {
        check(&text);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn changed_files(
        pick: prop::sample::Index,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..30, prop::sample::select(PIECES)), 1..4),
    ) {
        let corpus = corpus();
        let mut text = pick.get(&corpus).clone();
        for (at, length, piece) in edits {
            let mut start = at.index(text.len() + 1);
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.replace_range(start..end.max(start), piece);
        }
        check(&text);
    }

    #[test]
    fn joined_files(first: prop::sample::Index, second: prop::sample::Index, at: prop::sample::Index) {
        let corpus = corpus();
        let (first, second) = (first.get(&corpus), second.get(&corpus));
        let mut cut = at.index(first.len() + 1);
        while !first.is_char_boundary(cut) {
            cut -= 1;
        }
        check(&format!("{}{second}", &first[..cut]));
    }
}
