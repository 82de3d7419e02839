//! Every example is complete in itself and free of errors and warnings.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::{Path, PathBuf};

use portcullis_config::{effective, load, parse_str, starter};

fn examples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    // Some have a file of another kind beside them.
    let examples: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(examples.len() >= 10);
    examples
}

#[test]
fn every_example_is_clean() {
    for example in examples() {
        let loaded = match load(&example) {
            Ok(loaded) => loaded,
            Err(failed) => panic!("{}", failed.report.render(&failed.sources, false)),
        };
        let warnings = loaded.warnings.render(&loaded.sources, false);
        assert!(loaded.warnings.is_empty(), "{warnings}");
        assert!(effective(&loaded.config)["listeners"].is_array());
        let text = std::fs::read_to_string(&example).unwrap();
        assert!(text.starts_with("# "), "{}: an example says what it shows", example.display());
    }
}

#[test]
fn the_starter_is_clean() {
    let loaded = parse_str("starter.yaml", starter()).unwrap();
    assert!(loaded.warnings.is_empty());
}

/// The page of a policy shows a part of the example of its name.
#[test]
fn the_page_of_each_policy_shows_its_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages: Vec<_> = std::fs::read_dir(root.join("docs/policies")).unwrap().collect();
    assert!(pages.len() >= 5);
    for page in pages {
        let page = page.unwrap().path();
        let name = format!("{}.yaml", page.file_stem().unwrap().to_str().unwrap());
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains(&format!("](../../config/examples/{name})")), "{}", page.display());
        let (_, rest) = text.split_once("```yaml\n").unwrap();
        let (shown, _) = rest.split_once("```").unwrap();
        let example = std::fs::read_to_string(root.join("config/examples").join(name)).unwrap();
        assert!(example.contains(shown), "{}:\n{shown}", page.display());
    }
}
