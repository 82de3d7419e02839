//! One program of the demo: started in a group of its own, listened to, ended by its id.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_testkit::process::workspace_binary;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child as Process, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::parent::die_with_parent;
use crate::programs::Program;
use crate::secret;

/// Lines kept, to show what a program said before it failed.
const KEPT_LINES: usize = 20;
/// Lines that may wait for whoever reads them.
const WAITING_LINES: usize = 1024;

/// A running program. Dropping it kills it.
pub(crate) struct Child {
    pub(crate) name: &'static str,
    process: Process,
    last_lines: LastLines,
    /// What it prints to standard output. Lines that nobody takes in time are lost.
    pub(crate) output: mpsc::Receiver<String>,
}

type LastLines = Arc<Mutex<VecDeque<String>>>;

impl Child {
    pub(crate) fn start(program: &Program<'_>, folder: &Path) -> anyhow::Result<Self> {
        let name = program.name;
        let mut command = Command::new(workspace_binary(name)?);
        command.args(&program.arguments).current_dir(folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal goes to a whole group; the demo ends its programs in order instead.
        command.process_group(0);
        // The services read flags from the environment too; the demo has only its own.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("SHOP_") {
                command.env_remove(variable);
            }
        }
        if let Some(secret) = program.secret {
            command.env(secret::VARIABLE, secret.reveal());
        }
        die_with_parent(&mut command);
        let mut process = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let last_lines = LastLines::default();
        let (sender, output) = mpsc::channel(WAITING_LINES);
        if let Some(stdout) = process.stdout.take() {
            tokio::spawn(collect(stdout, Arc::clone(&last_lines), Some(sender)));
        }
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(collect(stderr, Arc::clone(&last_lines), None));
        }
        Ok(Self { name, process, last_lines, output })
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The first line of its output that starts so, without that start.
    pub(crate) async fn line_after(
        &mut self,
        start: &str,
        within: Duration,
    ) -> anyhow::Result<String> {
        let search = async {
            while let Some(line) = self.output.recv().await {
                if let Some(rest) = line.strip_prefix(start) {
                    return Some(rest.to_owned());
                }
            }
            None
        };
        match timeout(within, search).await {
            Ok(Some(rest)) => Ok(rest),
            Ok(None) => {
                let status = self.process.wait().await?;
                bail!("{} ended ({status}):\n{}", self.name, self.last_lines())
            }
            Err(_) => bail!("{} did not say {start:?} in {within:?}", self.name),
        }
    }

    /// Fails if it has ended.
    pub(crate) fn still_runs(&mut self) -> anyhow::Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, self.last_lines()),
        }
    }

    /// Waits for its end, once it has no more to say.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }

    /// Asks it to end by SIGTERM and waits; kills it after `patience`.
    pub(crate) async fn stop(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        // Its last lines must find room, or it could wait for us as we wait for it.
        self.output.close();
        match timeout(patience, self.process.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.process.kill().await?;
                bail!("{} did not end in {patience:?} and was killed", self.name)
            }
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Without an id it has been waited for, and its number may belong to another.
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        match id {
            Some(id) => Ok(kill_process(id, signal)?),
            None => Ok(()),
        }
    }

    pub(crate) fn last_lines(&self) -> String {
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("    {line}\n")).collect()
    }
}

async fn collect(
    stream: impl AsyncRead + Unpin,
    last_lines: LastLines,
    sender: Option<mpsc::Sender<String>>,
) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // A record of the access log explains no failure, and there may be thousands.
        if !line.contains("\"request_id\":") {
            let mut kept = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line.clone());
        }
        if let Some(sender) = &sender {
            // Full or closed: the demo reads for show, and the program must not wait for it.
            drop(sender.try_send(line));
        }
    }
}
