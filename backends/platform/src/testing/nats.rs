//! A NATS server with JetStream.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::daemon::{Daemon, free_port, log, tied};
use super::{folder, program};

/// A server that has accepted and says nothing is asked again.
const GREETING_LIMIT: Duration = Duration::from_secs(5);

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
        let directory = folder::new();
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
    // No server is taken for another one that had the port first.
    let name = directory.path().display().to_string();
    let command = || {
        let mut command = tied(program, "KILL");
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-n", &name, "-sd"]);
        command.arg(directory.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log(&path));
        command
    };
    // The server speaks first.
    let greets = || {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        let mut line = String::new();
        let read = stream.set_read_timeout(Some(GREETING_LIMIT));
        let read = read.and_then(|()| BufReader::new(stream).read_line(&mut line));
        read.is_ok() && line.starts_with("INFO ") && line.contains(&name)
    };
    Daemon::start(command, Signal::KILL, greets, &path)
}
