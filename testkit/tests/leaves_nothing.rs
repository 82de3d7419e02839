//! The guard of `make test`: it fails for what outlives a command, names it and kills it.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::process::Command;

const GUARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/leaves-nothing.py");

/// The exit code and what was written to standard error. No process with this sleep is left.
fn run(script: &str, seconds: &str) -> Option<(i32, String)> {
    if Command::new("python3").arg("--version").output().is_err() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 is missing");
        eprintln!("SKIPPED: python3 is missing");
        return None;
    }
    let script = script.replace("SECONDS", seconds);
    let mut guard = Command::new("python3");
    guard.args([GUARD, "--grace", "1", "sh", "-c", &script]);
    let output = guard.env("NEXTEST_TEST_NAME", "its_name").output().unwrap();
    let sleeps = |entry: std::fs::DirEntry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command == format!("sleep\0{seconds}\0").as_bytes()
    };
    assert!(!std::fs::read_dir("/proc").unwrap().flatten().any(sleeps), "{script}");
    let told = String::from_utf8(output.stderr).unwrap();
    Some((output.status.code().unwrap(), told))
}

#[test]
fn what_ends_in_time_is_no_fault() {
    let Some(ran) = run("sleep 0.1SECONDS & exit 0", "1871") else { return };
    assert_eq!(ran, (0, String::new()));
    let Some(ran) = run("exit 7", "1872") else { return };
    assert_eq!(ran, (7, String::new()));
}

#[test]
fn what_is_left_is_named_and_killed_wherever_it_went() {
    let ways = [
        ("in the background", "sleep SECONDS & exit 0", 1),
        ("in another session", "setsid sleep SECONDS & exit 0", 1),
        ("two generations on", "setsid sh -c 'sleep SECONDS & wait' & exit 5", 5),
        ("without its environment", "env -i setsid sleep SECONDS & exit 0", 1),
    ];
    for (at, (what, script, code)) in ways.into_iter().enumerate() {
        let seconds = format!("188{at}");
        let Some((found, told)) = run(script, &seconds) else { return };
        assert_eq!(found, code, "{what}: {told}");
        assert!(told.contains(&format!("sleep {seconds}")), "{what}: {told}");
        let named = told.contains("started by") && told.contains("its_name");
        assert_eq!(named, !script.contains("env -i"), "{what}: {told}");
    }
}
