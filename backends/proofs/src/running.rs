//! One process of the shop, from its start to its violent end.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use portcullis_testkit::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Generous: the machine may be busy building.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How a start went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It accepts connections.
    Listening,
    /// It was killed first, as it was told to be.
    Killed,
    /// It gave up by itself.
    Ended,
}

/// Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Its log is added to the file `log`.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    /// Waits until it says that it listens, in `lines` lines, or has ended. To be called once.
    pub(crate) async fn begun(&mut self, lines: usize) -> Begun {
        let mut output = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let announced = async {
            for _ in 0..lines {
                if !matches!(output.next_line().await, Ok(Some(_))) {
                    return false;
                }
            }
            true
        };
        let listening = timeout(START_LIMIT, announced).await;
        if listening.expect("a service neither listens nor ends") {
            return Begun::Listening;
        }
        if self.ended().await { Begun::Killed } else { Begun::Ended }
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// As a power cut would.
    pub(crate) async fn kill(&mut self) {
        // Whether it had ended by itself does not matter here.
        drop(self.child.kill().await);
    }

    /// Resolves when it has ended: whether it was killed.
    pub(crate) async fn ended(&mut self) -> bool {
        let status = self.child.wait().await.unwrap();
        status.signal() == Some(Signal::KILL.as_raw())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Running {
        Running::spawn(Command::new("sh").args(["-c", script]), &folder.join("log"))
    }

    #[tokio::test]
    async fn a_start_is_over_when_it_listens_or_dies() {
        let folder = tempfile::tempdir().unwrap();
        let mut lives = shell("echo early >&2; echo http; echo grpc; exec sleep 60", folder.path());
        assert_eq!(lives.begun(2).await, Begun::Listening);
        assert!(!lives.has_ended());
        lives.kill().await;
        assert!(lives.has_ended() && lives.ended().await);
        let mut dies = shell("echo http; kill -KILL $$", folder.path());
        assert_eq!(dies.begun(2).await, Begun::Killed);
        let mut ends = shell("exit 1", folder.path());
        assert_eq!(ends.begun(2).await, Begun::Ended);
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log, "early\n");
    }
}
