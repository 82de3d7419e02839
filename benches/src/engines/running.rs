//! A program of a run: started, pinned, watched, its log taken, ended.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portcullis_testkit::procfs;

use super::sink::Sink;
use super::{Upstreams, template};
use crate::setting::{Cores, Listener, Setting};

/// How long an engine may take to listen; under valgrind all is slow.
const START: Duration = Duration::from_secs(60);

/// How long a line of a log may be under way.
const ARRIVAL: Duration = Duration::from_secs(2);

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// Of its files; it is its working directory as well.
    pub(crate) directory: PathBuf,
    pub(crate) setting: Setting,
    child: Child,
    name: String,
    pub(super) log_file: Option<PathBuf>,
    /// Ends after its engine, which would write to nobody otherwise.
    pub(super) sink: Option<Sink>,
    /// What engines pass on to in order to reach it.
    pub(super) upstreams: Upstreams,
}

/// Lines that did not arrive.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) lines: u64,
    /// The last that did, in which the engine may say why.
    pub(crate) last: String,
}

impl Running {
    /// Starts a program, on a core of its own where the setting splits them, and waits until it
    /// listens.
    pub(super) fn start(
        name: &str,
        core: usize,
        words: &[String],
        address: SocketAddr,
        directory: PathBuf,
        setting: Setting,
    ) -> anyhow::Result<Self> {
        let pinned = ["taskset".to_owned(), "-c".to_owned(), core.to_string()];
        let pinned = if setting.cores == Cores::Split { &pinned[..] } else { &[] };
        // The kernel ends it with the suite, however that ends.
        let tied = ["setpriv", "--pdeathsig", "TERM"].map(str::to_owned);
        let words: Vec<&String> = tied.iter().chain(pinned).chain(words).collect();
        let child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(appending(&directory.join("stdout.log"))?)
            .stderr(appending(&directory.join("stderr.log"))?)
            .spawn()
            .with_context(|| words[0].clone())?;
        let name = name.to_owned();
        let (log_file, sink, upstreams) = (None, None, Upstreams::One(address));
        let mut running =
            Self { address, child, directory, setting, name, log_file, sink, upstreams };
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!("{} ended at once ({status}):\n{}", running.name, running.complaint());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen:\n{}", running.name, running.complaint());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn upstreams(&self) -> Upstreams {
        self.upstreams
    }

    /// Its processes, a master's workers included.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<u32>> {
        Ok(procfs::family(self.pid())?)
    }

    /// What a client asks for to be answered by this path of the origin.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = match self.setting.listener {
            Listener::Http1 | Listener::H2c => "http",
            Listener::Tls => "https",
        };
        format!("{scheme}://{}{}", self.address, self.target(path))
    }

    /// The target of such a request: below the last of the routes, where there are some.
    pub(crate) fn target(&self, path: &str) -> String {
        match self.setting.routes {
            0 => path.to_owned(),
            last => format!("{}{path}", template::path(last)),
        }
    }

    /// The host that clients name.
    pub(crate) fn host(&self) -> String {
        match self.setting.routes {
            0 => self.address.to_string(),
            last => template::host(last),
        }
    }

    /// Whether there is something in its access log, where it should write one. A file is
    /// emptied: it would fill the disk over the rounds.
    pub(crate) fn take_log(&self) -> anyhow::Result<Option<bool>> {
        if let Some(sink) = &self.sink {
            return Ok(Some(sink.lines() > 0));
        }
        let Some(path) = &self.log_file else { return Ok(None) };
        let file = fs::OpenOptions::new().append(true).open(path)?;
        let length = file.metadata()?.len();
        file.set_len(0)?;
        Ok(Some(length > 0))
    }

    /// Which of so many lines are missing from its log, after a moment in which what was under
    /// way arrives. A file has all that was written to it; what is sent can be lost.
    pub(crate) fn missing_lines(&self, expected: u64) -> Option<Missing> {
        let sink = self.sink.as_ref()?;
        let deadline = Instant::now() + ARRIVAL;
        while sink.lines() < expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let lines = expected.checked_sub(sink.lines()).filter(|lines| *lines > 0)?;
        let last = sink.tail().lines().last().unwrap_or_default().to_owned();
        Some(Missing { lines, last })
    }

    /// Ends it in order and waits, so that it can write what it has to say.
    pub(crate) fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn complaint(&self) -> String {
        let read = |file| fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        format!("{}{}{}", read("error.log"), read("stderr.log"), read("stdout.log"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Appending, so that emptying the file leaves no hole.
fn appending(path: &Path) -> std::io::Result<File> {
    fs::OpenOptions::new().create(true).append(true).open(path)
}
