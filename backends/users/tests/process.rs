//! The service as a process: what it says first, that its keys are there, how it ends.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn it_serves_until_a_signal_and_keeps_its_keys_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}/users.db", directory.path().display());
    let first = keys_of_one_run(&database, Stdio::null());
    assert!(first.contains("\"kid\""), "{first}");
    assert_eq!(first, keys_of_one_run(&database, Stdio::null()));
}

#[cfg(target_os = "linux")]
#[test]
fn it_serves_although_its_log_can_take_no_more() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let keys = keys_of_one_run(":memory:", full.into());
    assert!(keys.contains("\"kid\""), "{keys}");
}

/// Starts the service, asks for its published keys, ends it by SIGTERM.
fn keys_of_one_run(database: &str, log: Stdio) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shop-users"))
        .args(["--listen", "127.0.0.1:0", "--database", database, "--broker", "log::memory:"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect(&line);
    let ready = get(address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 OK"), "{ready}");
    let answer = get(address, "/.well-known/jwks.json");
    // The shell's own kill: a bare machine may not have the program.
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
