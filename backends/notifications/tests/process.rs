//! The service as a process: what it says first, that it answers, how it ends.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::io::{Read, Write};
use std::net::TcpStream;

use shop_platform::testing::{PATIENCE, Program, Signal, command};

#[test]
fn it_serves_until_a_signal_and_ends_with_zero() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut service = Program::start(
        command(env!("CARGO_BIN_EXE_shop-notifications"))
            .args(["--listen", "127.0.0.1:0", "--mail", &format!("file:{}", path("mail"))])
            .args(["--database", &format!("sqlite:{}", path("notifications.db"))])
            .args(["--broker", &format!("log:{}", path("events.db"))]),
    );
    let address = service.line_after("listening on http://");
    let ready = get(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 OK"), "{ready}");
    let refused = get(&address, "/v1/notifications");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert_eq!(service.stop(Signal::TERM).status.code(), Some(0));
    assert!(!directory.path().join("notifications.db-wal").exists(), "the log was folded in");
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
