//! A NATS server with JetStream.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::daemon::{Daemon, free_port, log};
use super::program;

#[derive(Debug)]
pub struct Nats {
    daemon: Daemon,
    program: PathBuf,
    port: u16,
    directory: TempDir,
}

impl Nats {
    pub(super) fn start() -> Option<Self> {
        let program = program("nats-server", "nats-server", [])?;
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let port = free_port();
        let daemon = launch(&program, port, &directory);
        Some(Self { daemon, program, port, directory })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server, as a power cut would.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again, with its data and at its address.
    pub fn start_again(&mut self) {
        self.daemon = launch(&self.program, self.port, &self.directory);
    }
}

fn launch(program: &PathBuf, port: u16, directory: &TempDir) -> Daemon {
    let path = directory.path().join("log");
    let command = || {
        let mut command = Command::new(program);
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]);
        command.arg(directory.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log(&path));
        command
    };
    // The server speaks first.
    let greets = || {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
    };
    Daemon::start(command, Signal::KILL, greets, &path)
}
