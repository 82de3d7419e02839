//! The manual's links lead somewhere, and the tests that it names are there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{files, root, shown};

#[test]
fn every_page_of_the_manual_is_linked_and_every_link_leads_somewhere() {
    let root = root();
    let mut linked = BTreeMap::new();
    let mut wrong = String::new();
    for page in files("md") {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in links(&text) {
            let path = page_of(&target);
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let full = page.parent().unwrap().join(path);
            match full.canonicalize() {
                Ok(full) => linked.entry(full).or_insert_with(Vec::new).push(page.clone()),
                Err(_) => {
                    writeln!(wrong, "{} links to {target}", shown(&page, &root)).unwrap();
                }
            }
        }
    }
    let entrances = ["README.md", "ARCHITECTURE.md"].map(|name| root.join(name));
    for page in files("md").into_iter().filter(|page| page.starts_with(root.join("docs"))) {
        let from = linked.get(&page).map_or(&[][..], Vec::as_slice);
        if !from.iter().any(|page| entrances.contains(page)) {
            writeln!(wrong, "{} is linked from no entrance", shown(&page, &root)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A page that says which test holds what is worth as much as its tests: they are there.
#[test]
fn tests_that_the_manual_names_exist() {
    let text = std::fs::read_to_string(root().join("docs/hardening.md")).unwrap();
    let is_test = |word: &&str| {
        word.contains('_') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let named: Vec<_> = text.split('`').filter(is_test).collect();
    assert!(named.len() >= 50, "{}", named.len());
    let sources: Vec<_> =
        files("rs").iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let is_there = |name: &str| {
        let written = format!("fn {name}()");
        sources.iter().any(|source| source.contains(&written))
    };
    let missing: Vec<_> = named.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Each row of the table of features links a file with tests, or a folder with such a file.
#[test]
fn every_feature_links_a_test_that_exists() {
    let page = root().join("docs/features.md");
    let folder = page.parent().unwrap();
    let text = std::fs::read_to_string(&page).unwrap();
    let rows: Vec<_> = rows(&text).collect();
    assert!(rows.len() >= 40, "{} rows: the walk is broken", rows.len());
    let mut wrong = String::new();
    for (feature, tests) in rows {
        let targets = links(tests);
        for target in targets.iter().filter(|target| !folder.join(page_of(target)).exists()) {
            writeln!(wrong, "{feature}: {target} does not exist").unwrap();
        }
        if !targets.iter().any(|target| holds_tests(&folder.join(target))) {
            writeln!(wrong, "{feature}: no link leads to a test").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// First and last cell of each row of the tables that have two columns, without their headings.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let cells = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    cells.filter(|(_, last)| *last != "test")
}

/// Rust's tests, in this file or beside the `main.rs` of its folder or below this folder.
fn holds_tests(path: &Path) -> bool {
    let folder = if path.ends_with("main.rs") { path.parent().unwrap() } else { path };
    let has_tests = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        text.contains("#[test]") || text.contains("#[tokio::test")
    };
    if folder.is_dir() {
        let folder = folder.canonicalize().unwrap();
        return files("rs").iter().filter(|file| file.starts_with(&folder)).any(has_tests);
    }
    folder.extension().is_some_and(|extension| extension == "rs")
        && folder.exists()
        && has_tests(&folder.to_path_buf())
}

/// A link's target without the place within the page.
fn page_of(target: &str) -> &str {
    target.split('#').next().unwrap_or_default()
}

/// Targets of Markdown links, outside of code blocks.
fn links(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let ends = line.split("](").skip(1);
            targets.extend(ends.filter_map(|end| end.split(')').next()).map(str::to_owned));
        }
    }
    targets
}
