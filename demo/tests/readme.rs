//! The README's tour, run as it is printed: what a stranger types first must work.
//!
//! Blocks marked `console` are one session in a shell. Lines that begin with `$ ` are typed, the
//! others are what is expected: `…` stands for anything on its line, `...` for any lines.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::Path;
use std::process::{Command, Stdio};

use portcullis_testkit::process::{free_address, workspace_binary};

const README: &str = include_str!("../../README.md");
/// Printed between commands, to tell their outputs apart.
const MARK: &str = "@@ next @@";

#[test]
fn the_tour_works_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(README);
    let config = blocks.iter().find(|(kind, _)| kind == "yaml").unwrap();
    let commands: Vec<(String, Vec<String>)> = blocks
        .iter()
        .filter(|(kind, _)| kind == "console")
        .flat_map(|(_, text)| commands(text))
        .collect();
    assert!(commands.len() >= 10, "the tour was found");

    // The one thing that differs: ports that nothing else on this machine uses.
    let places = ["8080", "9902", "7000"].map(|port| (port, free_address().unwrap()));
    let moved = |text: &str| {
        places.iter().fold(text.to_owned(), |text, (port, place)| {
            text.replace(&format!("127.0.0.1:{port}"), &place.to_string())
        })
    };
    std::fs::write(folder.path().join("gate.yaml"), moved(&config.1)).unwrap();
    // Whatever happens in between, the gateway does not outlive the session.
    let mut script = String::from("trap 'kill $! 2>/dev/null' EXIT\n");
    for (command, _) in &commands {
        script.push_str(&format!("{}\necho '{MARK}'\n", moved(command)));
    }

    let output = run(&script, folder.path());
    let outputs: Vec<&str> = output.split(&format!("{MARK}\n")).collect();
    for ((command, expected), printed) in commands.iter().zip(&outputs) {
        let printed: Vec<&str> = printed.lines().collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert!(
            fits(&expected, &printed),
            "$ {command}\nprinted:\n{}\nthe README says:\n{}\nthe gateway said:\n{}",
            printed.join("\n"),
            expected.join("\n"),
            std::fs::read_to_string(folder.path().join("gateway.log")).unwrap_or_default(),
        );
    }
    assert_eq!(outputs.len(), commands.len() + 1, "every command was run:\n{output}");
}

#[test]
fn expectations_can_fail() {
    let check = |expected: &[&str], printed: &[&str], fit| {
        assert_eq!(fits(expected, printed), fit, "{expected:?} {printed:?}");
    };
    check(&["a", "b"], &["a", "b"], true);
    check(&["a"], &["a", "b"], false);
    check(&["a", "..."], &["a", "b", "c"], true);
    check(&["...", "c", "..."], &["a", "b", "c"], true);
    check(&["...", "d", "..."], &["a", "b", "c"], false);
    check(&["{\"a\":…,\"b\":1}"], &["{\"a\":5,\"b\":1}"], true);
    check(&["{\"a\":…,\"b\":1}"], &["{\"a\":5,\"b\":2}"], false);
    check(&["a…"], &["ba"], false);
    check(&[], &["an error"], false);
}

/// Standard output and standard error of a script, as a terminal would show them.
fn run(script: &str, folder: &Path) -> String {
    let gateway = workspace_binary("portcullis-gateway")
        .expect("cargo build --workspace --all-targets comes first");
    let programs = gateway.parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fenced blocks with their kinds.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !open => {
                blocks.push((kind.to_owned(), String::new()));
                open = true;
            }
            Some(_) => open = false,
            None if open => {
                let (_, text) = blocks.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// Each command of a block with the lines that it is said to print.
fn commands(block: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    commands
}

fn fits(expected: &[&str], printed: &[&str]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => {
            (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..]))
        }
        (Some((first, rest)), Some((line, lines))) => line_fits(first, line) && fits(rest, lines),
        _ => false,
    }
}

fn line_fits(expected: &str, line: &str) -> bool {
    let Some((before, after)) = expected.split_once('…') else { return expected == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    let starts = rest.char_indices().map(|(index, _)| index).chain([rest.len()]);
    starts.into_iter().any(|start| line_fits(after, &rest[start..]))
}
