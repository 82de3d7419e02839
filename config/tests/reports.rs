//! What people are told of broken and of doubtful files: place, excerpt and cure.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::{Path, PathBuf};

use portcullis_config::load;

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn check_snapshot(file: &Path, report: &str) {
    let directory = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let name = format!("{directory}__{}", file.file_stem().unwrap().to_str().unwrap());
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, report));
}

#[test]
fn broken_files_name_place_and_cure() {
    let broken = files("tests/broken");
    assert!(broken.len() >= 30, "{}", broken.len());
    for file in broken {
        let failed = match load(&file) {
            Ok(_) => panic!("{} loads", file.display()),
            Err(failed) => failed,
        };
        for one in &failed.report {
            // Only what concerns no place in a file may lack one.
            assert!(
                one.location.is_some() || one.message == "no file declares a listener",
                "{}: {}",
                file.display(),
                one.message
            );
        }
        let text = failed.report.render(&failed.sources, false);
        assert!(!text.contains("hunter2"), "{text}");
        check_snapshot(&file, &text);
    }
}

#[test]
fn doubtful_files_load_with_warnings() {
    for file in files("tests/doubtful") {
        let loaded = match load(&file) {
            Ok(loaded) => loaded,
            Err(failed) => panic!("{}", failed.report.render(&failed.sources, false)),
        };
        assert!(!loaded.warnings.is_empty(), "{}", file.display());
        check_snapshot(&file, &loaded.warnings.render(&loaded.sources, false));
    }
}
