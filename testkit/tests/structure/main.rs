//! The shape of the whole repository: which crate may know which, and what every file keeps to.
//!
//! It reads texts and manifests and links nothing, so that it can judge all crates alike.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

mod circles;
mod files;
mod layers;
mod manual;
mod sleeps;
mod source;

use std::fmt::Write as _;
use std::process::Command;

use files::{check_files, root};
use serde_json::Value;

/// The longest a source file may be.
const MOST_LINES: usize = 600;

/// Which crates of this workspace a crate may depend on. An arrow that is not here is a decision
/// to be made, and written into ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("portcullis-config", &[]),
    ("portcullis-proxy", &["portcullis-config"]),
    ("portcullis-gateway", &["portcullis-config", "portcullis-proxy"]),
    ("shop-platform", &[]),
    ("shop-users", &["shop-platform"]),
    ("shop-contracts", &[]),
    ("shop-products", &["shop-platform", "shop-contracts"]),
    ("shop-orders", &["shop-platform", "shop-contracts"]),
    ("shop-payments", &["shop-platform", "shop-contracts"]),
    ("shop-notifications", &["shop-platform"]),
    (
        "shop",
        &[
            "shop-platform",
            "shop-users",
            "shop-products",
            "shop-orders",
            "shop-payments",
            "shop-notifications",
        ],
    ),
    ("shop-simulator", &[]),
    ("shop-proofs", &["portcullis-testkit", "shop-platform"]),
    ("portcullis-testkit", &["portcullis-config"]),
    ("portcullis-benches", &["portcullis-testkit"]),
    ("portcullis-demo", &["portcullis-config", "portcullis-testkit"]),
    ("portcullis-conformance", &[]),
    ("portcullis-microbenches", &["portcullis-config", "portcullis-proxy"]),
];

/// What tests may use besides. The shop's services are no part of it: they stand alone.
const ARROWS_OF_TESTS: &[(&str, &[&str])] = &[
    ("portcullis-proxy", &["portcullis-testkit"]),
    ("portcullis-gateway", &["portcullis-testkit"]),
    ("portcullis-conformance", &["portcullis-config", "portcullis-proxy", "portcullis-testkit"]),
    ("shop-proofs", &["shop-contracts"]),
];

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let names: Vec<&str> = packages.iter().map(|package| text(package, "name")).collect();
    let allowed = |table: &[(&str, &'static [&'static str])], name: &str| -> &'static [&str] {
        table.iter().find(|(crate_name, _)| *crate_name == name).map_or(&[], |(_, to)| *to)
    };
    let mut wrong = String::new();
    for package in packages {
        let name = text(package, "name");
        if !ARROWS.iter().any(|(known, _)| *known == name) {
            writeln!(wrong, "{name} has no line in ARROWS").unwrap();
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let target = text(dependency, "name");
            let of_tests = dependency["kind"] == "dev";
            let fits = allowed(ARROWS, name).contains(&target)
                || (of_tests && allowed(ARROWS_OF_TESTS, name).contains(&target));
            // Its own tests may ask for a feature of it.
            if names.contains(&target) && target != name && !fits {
                let kind = if of_tests { "in its tests" } else { "" };
                writeln!(wrong, "{name} must not depend on {target} {kind}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_configuration_is_a_leaf() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let config = packages.iter().find(|package| package["name"] == "portcullis-config").unwrap();
    for dependency in config["dependencies"].as_array().unwrap() {
        let name = text(dependency, "name");
        assert!(
            !["tokio", "hyper", "rustls", "axum", "libc", "socket2"].contains(&name),
            "the configuration's forms must not know {name}"
        );
    }
}

#[test]
fn every_crate_takes_the_workspaces_lints_and_versions() {
    check_files("toml", |path, text| {
        let mut wrong = Vec::new();
        let own_workspace = text.lines().any(|line| line == "[workspace]");
        if path.ends_with("Cargo.toml") && !own_workspace {
            if !text.contains("[lints]\nworkspace = true") {
                wrong.push("does not take the workspace's lints".to_owned());
            }
            for line in text.lines().filter(|line| line.starts_with(char::is_alphabetic)) {
                let versioned = line.contains("version = \"")
                    || line.contains("= \"0")
                    || line.contains("= \"1");
                if versioned {
                    wrong.push(format!("names a version that belongs to the workspace: {line}"));
                }
            }
        }
        wrong
    });
}

#[test]
fn source_files_are_short_and_say_what_they_are_for() {
    check_files("rs", |path, text| {
        let mut wrong = Vec::new();
        let length = text.lines().count();
        if length > MOST_LINES {
            wrong.push(format!("has {length} lines; {MOST_LINES} are the most"));
        }
        // Attributes of a whole binary may stand first.
        let first = text.lines().find(|line| !line.starts_with("#!") && !line.is_empty());
        // The tests of a module are introduced by the module.
        let says = path.ends_with("tests.rs") || first.is_some_and(|line| line.starts_with("//! "));
        if !says {
            wrong.push("does not open with a sentence of `//!`".to_owned());
        }
        wrong
    });
}

#[test]
fn nothing_unfinished_and_no_global_imports() {
    // Put together here, so that this file does not find itself.
    let unfinished = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let everything = ["use crate", "use super::super"].map(|path| format!("{path}::*"));
    check_files("rs", |path, text| {
        let mut wrong = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is = |pattern: &String| code.contains(pattern.as_str());
            // proptest is meant to be used by its prelude, and only tests use it.
            let prelude = code.contains("prelude::*") && !code.contains("proptest::prelude");
            if unfinished.iter().any(is) || everything.iter().any(is) || prelude {
                wrong.push(format!("line {}: {}", number + 1, line.trim()));
            }
        }
        if path.ends_with("structure/main.rs") { Vec::new() } else { wrong }
    });
}

/// The runner of `make test` runs none. Blocks of text are none.
#[test]
fn there_are_no_tests_in_documentation() {
    check_files("rs", |_, text| {
        let mut wrong = Vec::new();
        let mut open = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
            if let Some(kind) = comment.and_then(|text| text.trim().strip_prefix("```")) {
                open = !open;
                if open && kind != "text" {
                    wrong.push(format!("line {}: {line}", number + 1));
                }
            }
        }
        wrong
    });
}

#[test]
fn every_test_has_a_limit_of_time_and_none_is_tried_again() {
    let text = std::fs::read_to_string(root().join(".config/nextest.toml")).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert!(lines.contains(&"retries = 0"), "a test that fails now and then is a fault");
    let limits: Vec<_> = lines.iter().filter(|line| line.starts_with("slow-timeout")).collect();
    assert!(limits.len() >= 2, "the limits were found");
    let minute = "period = \"20s\", terminate-after = 3,";
    assert!(limits[0].contains(minute), "one minute for every test: {}", limits[0]);
    for limit in limits {
        assert!(limit.contains("terminate-after = "), "a hang is ended: {limit}");
    }
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.contains(".overrides]]")) {
        assert!(lines[at + 1].starts_with("# "), "an exception says why: {}", lines[at + 1]);
    }
}

#[test]
fn every_exception_to_a_lint_says_why() {
    check_files("rs", |_, text| {
        let lines: Vec<&str> = text.lines().collect();
        let starts = |line: &&str| {
            let line = line.trim_start();
            line.starts_with("#[allow(")
                || line.starts_with("#![allow(")
                || line.starts_with("#[expect(")
        };
        let mut wrong = Vec::new();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| starts(line)) {
            // An attribute may go on over some lines.
            let end = lines[index..].iter().position(|line| line.contains(")]")).unwrap_or(0);
            let reasoned = lines[index..=index + end].iter().any(|line| line.contains("reason ="));
            let commented = index > 0 && lines[index - 1].trim_start().starts_with("//");
            if !reasoned && !commented {
                wrong.push(format!("line {}: {}", index + 1, line.trim()));
            }
        }
        wrong
    });
}

#[test]
fn documents_name_no_place_of_one_machine() {
    let places = ["work", "tmp", "root", "home"].map(|name| format!("/{name}/"));
    for extension in ["md", "yml", "yaml", "toml"] {
        check_files(extension, |_, text| {
            let mut wrong = Vec::new();
            for (number, line) in text.lines().enumerate() {
                if places.iter().any(|place| line.contains(place.as_str())) {
                    wrong.push(format!("line {}: {}", number + 1, line.trim()));
                }
            }
            wrong
        });
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}
