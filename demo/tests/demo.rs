//! The demo as its user meets it: it works, it says what is in its way, it leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use portcullis_testkit::patience::found;
use portcullis_testkit::process::{Process, Signal, workspace_binary};

const DEMO: &str = env!("CARGO_BIN_EXE_shop-demo");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/shop.yaml");
/// Generous, for machines that are busy.
const LONG: Duration = Duration::from_secs(120);

const PROGRAMS: [&str; 7] = [
    "shop-users",
    "shop-products",
    "shop-payments",
    "shop-orders",
    "shop-notifications",
    "portcullis-gateway",
    "shop-simulator",
];

#[tokio::test]
async fn customers_are_served_the_books_balance_and_nothing_is_left() {
    let mut demo = start(&["--once", "--ports", "free"], &[]);
    let (code, output) = finished(&mut demo).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains('✗'), "{output}");
    assert!(output.matches("\n✓ ").count() >= 19, "{output}");
    for program in PROGRAMS {
        assert!(output.contains(&format!("  {program} started (process ")), "{program}: {output}");
    }
    let step = |start: &str, end: &str| {
        output.lines().any(|line| line.starts_with(start) && line.ends_with(end))
    };
    assert!(step("✓ asks for the price by gRPC-Web: 200, gRPC status 0", " EUR"), "{output}");
    assert!(step("✓ orders and waits: 202", ": confirmed"), "{output}");
    assert!(step("✓ orders by that one: 202", ": cancelled, \"insufficient_funds\""), "{output}");
    assert!(step("  ✓ the books balance: ", ""), "{output}");
    assert!(step("  ✓ no order is lost or doubled", ""), "{output}");
    assert!(step("✓ the crowd: 30 orders, ", " confirmed, and the books balance"), "{output}");
    // The table of the access log: who was answered by whom, and why.
    let row = |words: &[&str]| {
        output
            .lines()
            .any(|line| words.iter().all(|word| line.split_whitespace().any(|w| w == *word)))
    };
    assert!(row(&["308", "GET", "to-https", "redirect"]), "{output}");
    assert!(row(&["201", "POST", "/v1/users", "accounts"]), "{output}");
    assert!(row(&["202", "POST", "/v1/orders", "orders"]), "{output}");
    assert!(row(&["404", "GET", "/v1/reviews", "no-route"]), "{output}");
    nothing_is_left(&demo);
}

#[tokio::test]
async fn interrupted_at_any_moment_it_leaves_nothing() {
    for (moment, signal, code) in [
        ("The shop opens", Signal::INT, 130),
        ("shop-users started", Signal::TERM, 130),
        ("shop-products started", Signal::INT, 130),
        ("shop-notifications started", Signal::TERM, 130),
        ("portcullis-gateway started", Signal::HUP, 130),
        ("✓ registers", Signal::INT, 130),
        ("✓ orders and waits", Signal::TERM, 130),
        ("shop-simulator started", Signal::INT, 130),
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
    assert!(programs_in(demo.directory()).len() >= 6, "the test can see them");
    demo.signal(Signal::KILL).unwrap();
    demo.exit(LONG).await.unwrap();
    found(async || {
        let left = programs_in(demo.directory());
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test]
async fn a_crowd_that_finds_something_wrong_fails_it() {
    let folder = tempfile::tempdir().unwrap();
    let unclean = r#"{"clean": false, "orders": {"placed": 2, "confirmed": 1}}"#;
    // The summary's file is the last of its flags.
    let unbalanced = format!("for file; do :; done; echo '{unclean}' >$file");
    for (script, what) in [
        ("echo 'the books cannot be opened'; exit 1", "left no summary"),
        (&unbalanced, "the books do not balance, or"),
    ] {
        let simulator = folder.path().join("shop-simulator");
        std::fs::write(&simulator, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&simulator, Permissions::from_mode(0o755)).unwrap();
        // There it is looked for first.
        let programs = format!("PORTCULLIS_BIN_DIR={}", folder.path().display());
        let mut demo = start_with(&[&programs], &["--once", "--ports", "free"], &[]);
        let (code, output) = finished(&mut demo).await;
        assert_eq!(code, Some(1), "{output}");
        let failed =
            |line: &str| line.starts_with("✗ the crowd (exit status") && line.contains(what);
        assert!(output.lines().any(failed), "{output}");
        nothing_is_left(&demo);
    }
}

#[tokio::test]
async fn what_it_says_to_try_works() {
    let mut demo = start(&["--ports", "free"], &[]);
    demo.line(LONG, |line| line.contains("Requests as they come")).await.unwrap();
    let lines = demo.lines();
    let hints = lines.iter().skip_while(|line| !line.contains("Try, in another terminal"));
    let hints = hints.take_while(|line| !line.starts_with("Configuration:"));
    let script: Vec<String> = hints.skip(1).map(|line| format!("{}\n", line.trim())).collect();
    let script = script.concat();
    assert!(script.matches("curl").count() >= 12, "{script}");
    // So many are enough for a test.
    let script = script.replace("--orders 100", "--orders 5 --customers 2");

    // What each line prints tells whether it did what it should.
    let mut shell = Process::start("bash", ["-euc", &script], &[]).unwrap();
    let (code, output) = finished(&mut shell).await;
    assert_eq!(code, Some(0), "{output}");
    for expected in [
        "\"id\":\"walnut-desk-lamp\"",
        "\"state\":\"confirmed\"",
        "\"status\":\"captured\"",
        "\"kind\":\"order.confirmed\"",
        ".eml",
        "\"unfinished_sagas\"",
        "✓ the books balance",
        "\"reason\":\"no-route\"",
        "308 Permanent Redirect",
        "portcullis_requests_total",
        "\"payment-methods\"",
    ] {
        assert!(output.contains(expected), "no {expected} in\n{script}\n{output}");
    }
    let shown = |line: &str| line.contains("404") && line.contains(" /nowhere ");
    demo.line(LONG, shown).await.unwrap();
    demo.signal(Signal::INT).unwrap();
    let (code, output) = finished(&mut demo).await;
    assert_eq!(code, Some(0), "{output}");
    // Their requests are shown, but those of its crowd are not.
    let live = output.split("Requests as they come").nth(1).unwrap();
    assert!(live.contains(" /v1/orders/"), "{live}");
    assert!(!live.contains("/v1/feed"), "{live}");
    nothing_is_left(&demo);
}

#[tokio::test]
async fn a_service_that_dies_ends_the_demo() {
    for (moment, victim) in
        [("shop-simulator started", "shop-orders"), ("Requests as they come", "shop-payments")]
    {
        let mut demo = start(&["--ports", "free"], &[]);
        let started = demo.line(LONG, |line| line.contains(&format!("{victim} started")));
        let started = started.await.unwrap();
        let digits = started.chars().filter(char::is_ascii_digit).collect::<String>();
        demo.line(LONG, |line| line.contains(moment)).await.unwrap();
        let id = rustix::process::Pid::from_raw(digits.parse().unwrap()).unwrap();
        rustix::process::kill_process(id, Signal::KILL).unwrap();
        let (code, output) = finished(&mut demo).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(&format!("✗ {victim} ended (signal: 9 (SIGKILL))")), "{output}");
        nothing_is_left(&demo);
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
    start_with(&[], arguments, files)
}

fn start_with(environment: &[&str], arguments: &[&str], files: &[(&str, &str)]) -> Process {
    expect_programs();
    // Its temporary folder stands in this one, so that what it leaves behind can be seen.
    let arguments = ["TMPDIR={dir}"].iter().chain(environment).chain(&[DEMO]).chain(arguments);
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
    for name in PROGRAMS {
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
