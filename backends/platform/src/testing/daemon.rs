//! A program that runs until it is dropped.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    /// What ends it at once with all its children.
    end: Signal,
}

impl Daemon {
    /// Starts the program, again if it ends by itself, until `ready` says so.
    pub(super) fn start(
        mut command: impl FnMut() -> Command,
        end: Signal,
        mut ready: impl FnMut() -> bool,
        log: &Path,
    ) -> Self {
        let deadline = Instant::now() + START_LIMIT;
        let mut spawn = || {
            let mut command = command();
            let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
            Self { child, end }
        };
        let mut daemon = spawn();
        while !ready() {
            if Instant::now() > deadline {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                panic!("a server is not ready in time: {text}");
            }
            std::thread::sleep(LOOK);
            // Its predecessor may still be letting go of the data.
            if let Ok(Some(_)) = daemon.child.try_wait() {
                daemon = spawn();
            }
        }
        daemon
    }

    /// As a crash would.
    pub(super) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), self.end);
            drop(self.child.wait());
        }
    }
}

/// What a server says, for when it does not start.
pub(super) fn log(path: &Path) -> Stdio {
    let file = File::options().create(true).append(true).open(path);
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}

/// A port that was free just now.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    listener.local_addr().map_or(0, |address| address.port())
}
