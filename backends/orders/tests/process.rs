//! The service as a process: what it prints, how it starts and how it ends.
#![allow(clippy::unwrap_used, reason = "it is how a test fails, in its helpers too")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use shop_platform::testing::{self, PATIENCE, Program, Signal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shop-orders");

struct Service {
    program: Program,
    address: String,
}

impl Service {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut program = Program::start(&mut command(folder, arguments));
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

    fn stop(self) -> Output {
        self.program.stop(Signal::TERM)
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut command = testing::command(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]);
    command.args(["--database", &format!("sqlite:{}", file("orders.db"))]);
    command.args(["--broker", &format!("log:{}", file("events.db"))]).args(arguments);
    command
}

#[test]
fn it_serves_until_a_signal_without_any_other_service() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["--rebuild-read-model"]] {
        let service = Service::start(folder.path(), arguments);
        assert!(service.get("/readyz").starts_with("HTTP/1.1 200 OK"));
        assert!(service.get("/openapi.json").contains("/v1/orders/{id}/cancel"));
        // Without a token nothing is asked of anyone.
        assert!(service.get("/v1/orders").starts_with("HTTP/1.1 401 "));
        assert!(service.get("/metrics").contains("shop_orders_sagas_unfinished"));
        let output = service.stop();
        assert_eq!(output.status.code(), Some(0));
        let log = String::from_utf8(output.stderr).unwrap();
        let made_anew = log.contains("the read model was made anew");
        assert_eq!(made_anew, !arguments.is_empty(), "{log}");
    }
}

#[test]
fn it_ends_with_two_for_wrong_flags_and_one_for_a_world_that_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let not_a_file = format!("sqlite:{}", folder.path().display());
    for (arguments, code) in [
        (&["--unknown"][..], 2),
        (&["--saga-lease", "1s"], 2),
        (&["--saga-deadline", "13h"], 2),
        (&["--saga-concurrency", "0"], 2),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let output = command(folder.path(), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    for (flag, value, code) in
        [("--database", "mysql://localhost", 2), ("--database", &not_a_file, 1)]
    {
        let output = testing::command(PROGRAM).args([flag, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{flag} {value}");
    }
}
