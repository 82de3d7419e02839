//! The service as a process: what it says first, that its keys are there, how it ends.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use shop_platform::testing::{PATIENCE, Program, Signal, command};

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
    let mut service = Program::start(
        command(env!("CARGO_BIN_EXE_shop-users"))
            .args(["--listen", "127.0.0.1:0", "--database", database, "--broker", "log::memory:"])
            .stderr(log),
    );
    let address = service.line_after("listening on http://");
    let ready = get(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 OK"), "{ready}");
    let answer = get(&address, "/.well-known/jwks.json");
    assert_eq!(service.stop(Signal::TERM).status.code(), Some(0));
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
