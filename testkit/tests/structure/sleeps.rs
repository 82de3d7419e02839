//! Tests order nothing by sleeping: they wait for what they need, or run on paused time.

use std::path::{Path, PathBuf};

use super::source::{code, split_off_tests, words};
use crate::files::{check_files, files, root, shown};

/// What is there for tests alone, beside their own files.
const FOR_TESTS: &[&str] = &["testkit/src", "backends/proofs/src", "backends/platform/src/testing"];

/// Where there may be a sleep in them, and why. Tests themselves use what is named here.
const ALLOWED: &[(&str, &str)] = &[
    ("testkit/src/patience.rs", "the looks of `until`; pauses that are named as what they are for"),
    ("backends/platform/src/testing/patience.rs", "the same for the shop"),
    ("backends/platform/src/testing/daemon.rs", "the looks for a server that starts"),
    ("backends/proofs/src/deadline.rs", "the looks before a deadline"),
    ("testkit/src/process.rs", "the looks for a process that starts or ends"),
    ("testkit/src/lateness.rs", "how late a sleep ends is what is measured"),
    ("testkit/src/load.rs", "the looks for the progress of a load"),
    ("testkit/src/load/pacer.rs", "requests leave at given moments"),
    ("testkit/src/chaos", "faults, rests and slow peers of given lengths"),
    ("testkit/src/soak", "reloads at given moments, and the looks for their end"),
];

#[test]
fn tests_do_not_order_things_by_sleeping() {
    let (root, mut used) = (root(), Vec::new());
    let of_tests = modules_of_tests();
    check_files("rs", |path, text| {
        let name = shown(path, &root);
        let sleeps = sleeps(text, is_for_tests(&name) || of_tests.iter().any(|it| it == path));
        let allowed = ALLOWED.iter().find(|(place, _)| Path::new(&name).starts_with(place));
        match allowed {
            Some((place, _)) if !sleeps.is_empty() => used.push(*place),
            Some(_) => {}
            None => {
                let fault = |line| format!("line {line}: a sleep; wait for what is needed");
                return sleeps.into_iter().map(fault).collect();
            }
        }
        Vec::new()
    });
    for (place, _) in ALLOWED {
        assert!(used.contains(place), "{place} is allowed to sleep and does not");
    }
}

/// A file of tests, or one of [`FOR_TESTS`].
fn is_for_tests(name: &str) -> bool {
    let part_of_tests = name.split('/').any(|part| part == "tests" || part == "tests.rs");
    part_of_tests || FOR_TESTS.iter().any(|place| Path::new(name).starts_with(place))
}

/// The lines of a file in whose tests something sleeps; all of it may be for tests.
fn sleeps(text: &str, is_for_tests: bool) -> Vec<usize> {
    let code = code(text);
    let of_tests = if is_for_tests { code } else { split_off_tests(&code).1 };
    let is_sleep = |word: &&str| ["sleep", "sleep_until", "park_timeout"].contains(word);
    let lines = of_tests.lines().enumerate();
    let with_sleep = lines.filter(|(_, line)| words(line).iter().any(is_sleep));
    with_sleep.map(|(index, _)| index + 1).collect()
}

/// The files of modules that are declared for tests alone, under whatever name.
fn modules_of_tests() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in files("rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("#[cfg(test)]") {
            continue;
        }
        let of_tests = split_off_tests(&code(&text)).1;
        let words = words(&of_tests);
        let declared = words.windows(3).filter(|three| three[0] == "mod" && three[2] == ";");
        let stem = path.file_stem().unwrap();
        let folder = path.parent().unwrap();
        let folder = match stem.to_str() {
            Some("lib" | "main" | "mod") => folder.to_path_buf(),
            _ => folder.join(stem),
        };
        found.extend(declared.map(|three| folder.join(three[1]).with_extension("rs")));
    }
    found
}

#[test]
fn sleeps_are_found() {
    let check = |text: &str, is_for_tests, expected: &[usize]| {
        assert_eq!(sleeps(text, is_for_tests), expected, "{text}");
    };
    check("x;\ntokio::time::sleep(y).await;", true, &[2]);
    check("use std::thread::sleep as rest;", true, &[1]);
    check("() = sleep_until(end) => {}", true, &[1]);
    check("// sleep(x)\nrun(\"sleep 60\");\nasleep(x)", true, &[]);
    check("sleep(x);\n#[cfg(test)]\nmod tests {\n    fn y() { sleep(z) }\n}", false, &[4]);
    assert!(is_for_tests("proxy/src/a/tests.rs") && is_for_tests("proxy/src/a/tests/b.rs"));
    assert!(is_for_tests("gateway/tests/a.rs") && !is_for_tests("proxy/src/a.rs"));
    let times = root().join("proxy/src/relay/request/times.rs");
    assert!(modules_of_tests().contains(&times), "declared so in request.rs");
}
