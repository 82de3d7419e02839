//! A built binary as a test runs it: started, awaited, signalled, measured, never left behind.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::hash::BuildHasher;
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

pub use rustix::process::Signal;

use crate::procfs;

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

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
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
        let mut child = Command::new(program.as_ref())
            .args(arguments)
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
        Ok(Self { child, pid, output, directory })
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

/// A loopback address that was free a moment ago, for programs that cannot report theirs.
///
/// Its port is one that the kernel gives to nobody who does not ask for it: of the ports that it
/// chooses itself, the next outgoing connection of any process could be given this one.
pub fn free_address() -> io::Result<SocketAddr> {
    const ATTEMPTS: usize = 200;
    const FIRST: u16 = 10_000;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let chosen_by_kernel =
        range.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    let count = chosen_by_kernel.unwrap_or(32_768_u16).saturating_sub(FIRST);
    for _ in 0..ATTEMPTS {
        // Every state has keys of its own: randomness without a crate for it.
        let random = RandomState::new().hash_one(());
        let Some(offset) = random.checked_rem(u64::from(count)) else { break };
        let port = FIRST.saturating_add(u16::try_from(offset).unwrap_or(0));
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr();
        }
    }
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
