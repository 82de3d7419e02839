//! A service's program under test: it ends with its test, however that ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::daemon::tied;
use super::patience::{PATIENCE, until_blocking};

/// A program that is killed when this is dropped, or when the thread that started it is gone.
#[derive(Debug)]
pub struct Program {
    child: Child,
    output: Lines,
    /// What it logs, read by a thread of its own: it must never wait for a reader.
    log: Option<JoinHandle<Vec<u8>>>,
}

/// What a program says, read by a thread of its own, so that a wait for it can have an end.
#[derive(Debug)]
struct Lines(mpsc::Receiver<String>);

/// A command for `program`, whose process is killed with the thread that starts it.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = tied(program, "KILL");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Program {
    /// Its output is read here; what becomes of its log is the command's.
    pub fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = child.stdout.take().map(Lines::read);
        let output = output.unwrap_or_else(|| panic!("{command:?} has no output"));
        let log = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut log = Vec::new();
                drop(stderr.read_to_end(&mut log));
                log
            })
        });
        Self { child, output, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints. Panics, with its log, if there is none.
    pub fn line(&mut self) -> String {
        match self.output.0.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it prints nothing in {PATIENCE:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                // It may live on without an output; its log would then have no end.
                drop(self.child.kill());
                panic!("it has ended: {}", String::from_utf8_lossy(&self.log()))
            }
        }
    }

    /// The next line that it prints, which must begin so, without that.
    pub fn line_after(&mut self, start: &str) -> String {
        let line = self.line();
        let rest = line.strip_prefix(start);
        rest.unwrap_or_else(|| panic!("{line:?} does not begin with {start:?}")).to_owned()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self, signal: Signal) -> Output {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        assert!(sent.is_ok(), "it cannot be asked to end: {sent:?}");
        let status = self.wait(PATIENCE);
        let stderr = self.log();
        Output { status, stdout: Vec::new(), stderr }
    }

    /// All that it has logged; to be asked once it has ended.
    fn log(&mut self) -> Vec<u8> {
        self.log.take().and_then(|log| log.join().ok()).unwrap_or_default()
    }

    fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut ended = None;
        until_blocking("the end of a program", limit, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        });
        ended.unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Lines {
    fn read(output: ChildStdout) -> Self {
        let (give, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if give.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::start(command("sh").args(["-c", script]))
    }

    fn lives(id: u32) -> bool {
        std::path::Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn a_program_is_read_and_asked_to_end() {
        let mut program = shell(
            "trap 'echo caught >&2; exit 3' TERM; echo at home; while :; do sleep 0.01; done",
        );
        assert_eq!(program.line_after("at "), "home");
        let output = program.stop(Signal::TERM);
        assert_eq!((output.status.code(), &*output.stderr), (Some(3), &b"caught\n"[..]));
    }

    #[test]
    fn a_program_ends_with_its_test() {
        let mut dropped = shell("echo on; exec sleep 600");
        let forgotten = std::thread::spawn(|| {
            let mut program = shell("echo on; exec sleep 600");
            assert_eq!(program.line(), "on");
            let id = program.id();
            // As when its test is killed: nothing is dropped.
            std::mem::forget(program);
            id
        });
        assert_eq!(dropped.line(), "on");
        let id = dropped.id();
        drop(dropped);
        assert!(!lives(id));
        let id = forgotten.join().unwrap();
        until_blocking("the end of the forgotten", PATIENCE, || {
            std::fs::read_to_string(format!("/proc/{id}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        });
    }
}
