//! A built binary as a test runs it: started, awaited, signalled, measured, never left behind.

mod group;
mod ports;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

pub use ports::free_address;
pub use rustix::process::Signal;

use crate::procfs;
use group::Group;

/// Lines of output kept for each process.
const LINES: usize = 10_000;
/// Pause between two looks at a port.
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("{path} cannot be started: {source}")]
    Start { path: PathBuf, source: io::Error },
    #[error("{what} took longer than allowed; its last output:\n{output}")]
    Deadline { what: String, output: String },
    #[error("the process ended early ({status}); its last output:\n{output}")]
    Ended { status: ExitStatus, output: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A running child. Dropping it kills it, with all that it started and that stayed in its group;
/// so does the end of this process, even by SIGKILL.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Group,
    pid: u32,
    output: Arc<Output>,
    /// Files that live as long as the process, such as its configuration.
    directory: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<VecDeque<String>>,
    /// Streams that have not ended.
    open: AtomicUsize,
    changed: Notify,
}

impl Process {
    /// Starts a program; `{dir}` in an argument stands for the directory of its files.
    pub fn start<A: AsRef<str>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
        files: &[(&str, &str)],
    ) -> Result<Self, ProcessError> {
        let directory = tempfile::Builder::new().prefix("portcullis-test-").tempdir()?;
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content)?;
        }
        let place = directory.path().display().to_string();
        let arguments =
            arguments.into_iter().map(|argument| argument.as_ref().replace("{dir}", &place));
        let group = Group::start()?;
        let mut child = Command::new(program.as_ref())
            .args(arguments)
            .process_group(group.number())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ProcessError::Start { path: program.as_ref().into(), source })?;
        let pid = child.id().ok_or_else(|| io::Error::other("the child has no id"))?;
        let output = Arc::new(Output::default());
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, Arc::clone(&output));
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, Arc::clone(&output));
        }
        Ok(Self { child, group, pid, output, directory })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The directory in which its files stand and which is its working directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces a file in one step, as an editor or a deployment would.
    pub fn replace_file(&self, name: &str, content: &str) -> io::Result<()> {
        let next = self.directory.path().join(format!(".{name}.next"));
        std::fs::write(&next, content)?;
        std::fs::rename(next, self.directory.path().join(name))
    }

    /// What it printed, oldest first, both streams in the order of arrival.
    pub fn lines(&self) -> Vec<String> {
        self.output.lock().iter().cloned().collect()
    }

    /// The first line, of those printed and those to come, that this accepts.
    pub async fn line(
        &mut self,
        within: Duration,
        accept: impl Fn(&str) -> bool,
    ) -> Result<String, ProcessError> {
        let deadline = Instant::now() + within;
        let output = Arc::clone(&self.output);
        let mut ended = None;
        loop {
            let changed = output.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(line) = output.lock().iter().find(|line| accept(line)) {
                return Ok(line.clone());
            }
            // Its last lines may arrive after the news of its end.
            if let Some(status) = ended
                && output.open.load(Ordering::Acquire) == 0
            {
                return Err(self.ended(status));
            }
            tokio::select! {
                () = changed => {}
                status = self.child.wait(), if ended.is_none() => ended = Some(status?),
                () = tokio::time::sleep_until(deadline) => return Err(self.late("a line")),
            }
        }
    }

    /// Waits until the port accepts a connection.
    pub async fn listening(
        &mut self,
        address: SocketAddr,
        within: Duration,
    ) -> Result<(), ProcessError> {
        let deadline = Instant::now() + within;
        loop {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.ended(status));
            }
            if Instant::now() >= deadline {
                return Err(self.late(&format!("listening on {address}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("not a process id"))?;
        // A child that was waited for may have given its id to another process.
        if self.child.id().is_none() {
            return Err(io::Error::other("the process has ended"));
        }
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Waits for its end.
    pub async fn exit(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        match timeout_at(Instant::now() + within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(self.late("the exit")),
        }
    }

    /// Kills it and its group, and waits until none of them is left.
    pub async fn end(mut self, within: Duration) -> Result<(), ProcessError> {
        let deadline = Instant::now() + within;
        self.group.kill()?;
        self.exit(within).await?;
        while !self.group.is_empty() {
            if Instant::now() >= deadline {
                return Err(self.late("the end of its group"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub fn resident_bytes(&self) -> io::Result<u64> {
        procfs::resident_bytes(self.pid)
    }

    pub fn descriptors(&self) -> io::Result<usize> {
        procfs::descriptors(self.pid)
    }

    fn late(&self, what: &str) -> ProcessError {
        ProcessError::Deadline { what: what.to_owned(), output: self.tail() }
    }

    fn ended(&self, status: ExitStatus) -> ProcessError {
        ProcessError::Ended { status, output: self.tail() }
    }

    fn tail(&self) -> String {
        let lines = self.output.lock();
        let skip = lines.len().saturating_sub(30);
        lines.iter().skip(skip).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collect(stream: impl AsyncRead + Unpin + Send + 'static, output: Arc<Output>) {
    output.open.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = output.lock();
            if kept.len() == LINES {
                kept.pop_front();
            }
            kept.push_back(line);
            drop(kept);
            output.changed.notify_waiters();
        }
        output.open.fetch_sub(1, Ordering::Release);
        output.changed.notify_waiters();
    });
}

/// Where cargo put a binary of this workspace. `PORTCULLIS_BIN_DIR` overrides it; else it is the
/// directory above the one of the running test, or the one of the running binary.
pub fn workspace_binary(name: &str) -> io::Result<PathBuf> {
    let mut places = Vec::new();
    if let Some(directory) = std::env::var_os("PORTCULLIS_BIN_DIR") {
        places.push(PathBuf::from(directory));
    }
    let own = std::env::current_exe()?;
    places.extend(own.ancestors().skip(1).take(2).map(Path::to_path_buf));
    places.iter().map(|place| place.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        io::Error::other(format!(
            "{name} is not built: `cargo build` it first (looked in {places:?})"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patience::until;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Process {
        Process::start("sh", ["-c", script], &[("greeting", "good day\n")]).unwrap()
    }

    #[tokio::test]
    async fn lines_files_and_exit_status() {
        let mut process = shell("cat greeting; echo late >&2; exit 3");
        assert_eq!(process.line(LONG, |line| line.contains("day")).await.unwrap(), "good day");
        process.line(LONG, |line| line == "late").await.unwrap();
        assert_eq!(process.exit(LONG).await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn an_early_end_is_told_with_the_output() {
        let mut process = shell("echo broken; exit 2");
        let error = process.listening(free_address().unwrap(), LONG).await.unwrap_err();
        assert!(matches!(&error, ProcessError::Ended { .. }), "{error}");
    }

    #[tokio::test]
    async fn signals_reach_it_and_memory_is_read() {
        let mut process =
            shell("trap 'echo caught; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
        process.line(LONG, |line| line == "ready").await.unwrap();
        assert!(process.resident_bytes().unwrap() > 0);
        assert!(process.descriptors().unwrap() >= 3);
        process.signal(Signal::TERM).unwrap();
        process.line(LONG, |line| line == "caught").await.unwrap();
        assert!(process.exit(LONG).await.unwrap().success());
        assert!(process.signal(Signal::TERM).is_err());
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait() {
        let mut process = shell("sleep 60");
        let error = process.line(Duration::from_millis(20), |_| true).await.unwrap_err();
        assert!(matches!(error, ProcessError::Deadline { .. }), "{error}");
    }
    /// A program that starts another and tells its number, as scripts do that stand for a program.
    const PARENT: &str = "sleep 600 & echo $!; wait";

    async fn told_number(process: &mut Process) -> u32 {
        let line = process.line(LONG, |line| line.parse::<u32>().is_ok()).await.unwrap();
        line.parse().unwrap()
    }

    /// What has ended and was not waited for yet counts as gone: that is its parent's affair.
    fn runs(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        state.is_some_and(|state| !"ZX".contains(state))
    }

    async fn until_gone(pid: u32) {
        until(&format!("the end of {pid}"), async || !runs(pid)).await;
    }

    #[tokio::test]
    async fn what_it_started_ends_with_it() {
        let mut process = shell(PARENT);
        let child = told_number(&mut process).await;
        assert!(runs(child));
        process.end(LONG).await.unwrap();
        assert!(!runs(child));

        let mut process = shell(PARENT);
        let child = told_number(&mut process).await;
        drop(process);
        until_gone(child).await;
    }

    /// A second run of this binary starts a process and is killed: nothing is done by its code.
    #[tokio::test]
    async fn what_a_killed_test_started_ends_too() {
        const INNER: &str = "PORTCULLIS_TEST_IS_KILLED";
        if std::env::var_os(INNER).is_some() {
            let mut process = shell(PARENT);
            println!("\n{}", told_number(&mut process).await);
            process.exit(LONG).await.unwrap_err();
            return;
        }
        let own = std::env::current_exe().unwrap().display().to_string();
        let name = "process::tests::what_a_killed_test_started_ends_too";
        let inner = [&format!("{INNER}=1"), &own, "--exact", name, "--nocapture"];
        let mut process = Process::start("env", inner, &[]).unwrap();
        let child = told_number(&mut process).await;
        assert!(runs(child));
        process.signal(Signal::KILL).unwrap();
        until_gone(child).await;
    }
}
