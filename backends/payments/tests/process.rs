//! The service as a process: what it prints, what it answers, how it ends.
#![allow(clippy::unwrap_used, reason = "it is how a test fails, in its helpers too")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use shop_platform::testing::{self, PATIENCE, Program, Signal};

fn command(arguments: &[&str]) -> Command {
    let mut command = testing::command(env!("CARGO_BIN_EXE_shop-payments"));
    command.args(["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    command.args(["--broker", "log::memory:"]).args(arguments);
    command
}

#[test]
fn it_says_where_it_listens_and_ends_when_asked() {
    let mut service = Program::start(&mut command(&["--database", ":memory:"]));
    let rest = service.line_after("listening on http://");
    let grpc = service.line_after("grpc on http://");
    TcpStream::connect(grpc).unwrap();
    let mut stream = TcpStream::connect(rest).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /readyz HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(service.stop(Signal::TERM).status.code(), Some(0));
}

#[test]
fn it_ends_with_two_for_wrong_flags() {
    for (arguments, code) in [
        (&["--unknown"][..], 2),
        (&["--processor-latency", "soon"], 2),
        (&["--database", "mysql://localhost"], 2),
        (&["--help"], 0),
    ] {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}
