//! The demo as its user meets it: it works, it says what is in its way, it leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use portcullis_testkit::process::{Process, Signal, workspace_binary};

const DEMO: &str = env!("CARGO_BIN_EXE_shop-demo");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/shop.yaml");
/// Generous, for machines that are busy.
const LONG: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_customer_is_served_and_nothing_is_left() {
    let mut demo = start(&["--once", "--ports", "free"], &[]);
    let (code, output) = finished(&mut demo).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains('✗'), "{output}");
    assert!(output.matches("\n✓ ").count() >= 13, "{output}");
    // The table of the access log: who was answered by whom, and why.
    let row = |words: &[&str]| {
        output
            .lines()
            .any(|line| words.iter().all(|word| line.split_whitespace().any(|w| w == *word)))
    };
    assert!(row(&["308", "GET", "to-https", "redirect"]), "{output}");
    assert!(row(&["201", "POST", "/v1/users", "accounts"]), "{output}");
    assert!(row(&["404", "GET", "/v1/payments", "no-route"]), "{output}");
    nothing_is_left(&demo);
}

#[tokio::test]
async fn interrupted_at_any_moment_it_leaves_nothing() {
    for (moment, signal, code) in [
        ("The shop opens", Signal::INT, 130),
        ("shop-users started", Signal::TERM, 130),
        ("shop-products started", Signal::INT, 130),
        ("portcullis-gateway started", Signal::HUP, 130),
        ("✓ registers", Signal::INT, 130),
        ("Requests as they come", Signal::INT, 0),
    ] {
        let mut demo = start(&["--ports", "free"], &[]);
        demo.line(LONG, |line| line.contains(moment)).await.unwrap();
        demo.signal(signal).unwrap();
        let (found, output) = finished(&mut demo).await;
        assert_eq!(found, Some(code), "at {moment:?}: {output}");
        nothing_is_left(&demo);
    }
}

#[tokio::test]
async fn killed_it_takes_its_programs_with_it() {
    let mut demo = start(&["--ports", "free"], &[]);
    demo.line(LONG, |line| line.contains("✓ registers")).await.unwrap();
    assert!(programs_in(demo.directory()).len() >= 3, "the test can see them");
    demo.signal(Signal::KILL).unwrap();
    demo.exit(LONG).await.unwrap();
    let deadline = std::time::Instant::now() + LONG;
    while !programs_in(demo.directory()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?}", programs_in(demo.directory()));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let config = std::fs::read_to_string(EXAMPLE).unwrap();
    let config = config.replace("[::]:8443", &format!("127.0.0.1:{port}"));
    let mut demo = start(&["--once", "--config", "{dir}/taken.yaml"], &[("taken.yaml", &config)]);
    let (code, output) = finished(&mut demo).await;
    assert_eq!(code, Some(1), "{output}");
    let sentence = format!("port {port} (the gateway's TLS listener) is taken by");
    assert!(output.contains(&sentence), "{output}");
    assert!(output.contains(&format!("(process {})", std::process::id())), "{output}");
}

fn start(arguments: &[&str], files: &[(&str, &str)]) -> Process {
    expect_programs();
    // Its temporary folder stands in this one, so that what it leaves behind can be seen.
    let arguments = ["TMPDIR={dir}", DEMO].iter().chain(arguments);
    Process::start("env", arguments, files).unwrap()
}

/// Its exit code and all that it printed: the last lines may arrive after the news of the end.
async fn finished(demo: &mut Process) -> (Option<i32>, String) {
    let status = demo.exit(LONG).await.unwrap();
    demo.line(LONG, |_| false).await.unwrap_err();
    (status.code(), demo.lines().join("\n"))
}

/// Cargo builds the programs of other crates only when it is asked for the whole workspace.
fn expect_programs() {
    for name in ["portcullis-gateway", "shop-users", "shop-products"] {
        if let Err(error) = workspace_binary(name) {
            panic!("cargo build --workspace --all-targets comes first: {error}");
        }
    }
}

fn nothing_is_left(demo: &Process) {
    let files: Vec<_> = std::fs::read_dir(demo.directory()).unwrap().flatten().collect();
    assert!(files.is_empty(), "{files:?}");
    let programs = programs_in(demo.directory());
    assert!(programs.is_empty(), "{programs:?}");
}

/// Processes that name a file of this folder on their command line.
fn programs_in(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|process| {
        let command = std::fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(&folder)).collect()
}
