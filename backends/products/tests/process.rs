//! The service as a process: what it prints, what it answers, how it ends.
#![allow(clippy::unwrap_used, reason = "it is how a test fails, in its helpers too")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use shop_platform::testing::{self, PATIENCE, Program, Signal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shop-products");

struct Service {
    program: Program,
    address: String,
}

impl Service {
    fn start(arguments: &[&str]) -> Self {
        let mut program = Program::start(&mut command(arguments));
        let address = program.line_after("listening on http://");
        Self { address, program }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(self, signal: Signal) -> Output {
        self.program.stop(signal)
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = testing::command(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    command.args(["--broker", "log::memory:"]).args(arguments);
    command
}

#[test]
fn it_serves_until_a_signal_and_ends_with_zero() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}/products.db", directory.path().display());
    for signal in [Signal::TERM, Signal::INT] {
        // Longer than its end is waited for.
        let service = Service::start(&["--database", &database, "--drain-timeout", "600s"]);
        assert!(service.get("/readyz").starts_with("HTTP/1.1 200 OK"));
        assert!(service.get("/v1/products").contains("\"total\":200"));
        // Held open and idle: it must not hold up the end.
        let idle = TcpStream::connect(&service.address).unwrap();
        let output = service.stop(signal);
        assert_eq!(output.status.code(), Some(0), "{signal:?}");
        drop(idle);
        let log = String::from_utf8(output.stderr).unwrap();
        for line in log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect(line);
            assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
        }
        let record = log.lines().find(|line| line.contains("\"route\":\"/v1/products\"")).unwrap();
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        assert_eq!(record["status"], 200);
        assert!(record["span"]["request_id"].is_string(), "{record}");
        assert!(record["span"]["traceparent"].is_string(), "{record}");
    }
    assert!(!directory.path().join("products.db-wal").exists(), "the log was folded in");
}

#[test]
fn it_ends_with_two_for_wrong_flags_and_one_for_a_world_that_is_not_ready() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let not_a_file = format!("sqlite:{}", directory.path().display());
    for (arguments, code) in [
        (&["--unknown"][..], 2),
        (&["--drain-timeout", "soon"], 2),
        (&["--database", "mysql://localhost"], 2),
        (&["--expiry-interval", "0s"], 2),
        (&["--database", &not_a_file], 1),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    let mut command = testing::command(PROGRAM);
    let arguments = ["--listen", &taken, "--database", ":memory:", "--broker", "log::memory:"];
    let output = command.args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&taken), "it names the address");
}
