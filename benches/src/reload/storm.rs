//! The reloads themselves: another configuration each time, and the moment at which it serves.
//!
//! The engine says in its log when a configuration serves: to ask it would be load.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portcullis_testkit::procfs;

use crate::engines::Running;

/// Reloads between two times of peace.
const SERIES: u32 = 100;
/// Before the first series, and after each until the watching of the files has seen the last.
const SETTLE: Duration = Duration::from_secs(2);
/// How long each time of peace is.
const PEACE: Duration = Duration::from_secs(2);
/// From a reload to the next.
const PAUSE: Duration = Duration::from_millis(50);
/// What a reload leaves behind is charged to it for so long.
const AFTERMATH: Duration = Duration::from_millis(5);
/// How long a reload may take. A build that is not optimised needs seconds.
const RELOAD: Duration = Duration::from_secs(30);
/// Routes of a configuration that no other has.
const CHANGING: u32 = 100;

/// Where the configuration is, a directory.
const PLACE: &str = "conf";
/// The file in it that changes.
const FILE: &str = "changing.yaml";
const LOG: &str = "stderr.log";
const SERVES: &str = "a new configuration serves";

/// A stretch of time, from the start of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) begin: Duration,
    pub(super) end: Duration,
}

/// When it stormed and when not.
#[derive(Debug, Default)]
pub(super) struct Weather {
    pub(super) calm: Vec<Period>,
    pub(super) reloads: Vec<Period>,
    /// Bytes after each reload.
    pub(super) resident: Vec<u64>,
}

/// Reloads to come.
pub(super) struct Storm<'a> {
    running: &'a Running,
    reloads: u32,
    /// No reload begins later.
    time: Duration,
    log: Log,
}

impl Period {
    pub(super) fn length(self) -> Duration {
        self.end - self.begin
    }
}

impl<'a> Storm<'a> {
    pub(super) fn new(running: &'a Running, reloads: u32, time: Duration) -> Self {
        let log = Log { path: running.directory.join(LOG), read: 0 };
        Self { running, reloads, time, log }
    }

    /// As many of them as there is time for, on the calling thread; times count from `start`.
    pub(super) fn rage(mut self, start: Instant) -> anyhow::Result<Weather> {
        let mut weather = Weather::default();
        self.rest(start, &mut weather)?;
        for reload in 1..=self.reloads {
            if start.elapsed() > self.time {
                break;
            }
            let next = self.prepare(reload)?;
            let begin = start.elapsed();
            self.reload(&next).with_context(|| format!("reload {reload}"))?;
            std::thread::sleep(AFTERMATH);
            weather.reloads.push(Period { begin, end: start.elapsed() });
            weather.resident.push(procfs::resident_bytes(self.running.pid())?);
            std::thread::sleep(PAUSE);
            if reload % SERIES == 0 {
                self.rest(start, &mut weather)?;
                eprintln!("{reload}/{} reloads", self.reloads);
            }
        }
        Ok(weather)
    }

    fn rest(&mut self, start: Instant, weather: &mut Weather) -> anyhow::Result<()> {
        std::thread::sleep(SETTLE);
        let begin = start.elapsed();
        std::thread::sleep(PEACE);
        weather.calm.push(Period { begin, end: start.elapsed() });
        // It would fill the disk.
        self.running.take_log()?;
        Ok(())
    }

    /// Writes what changes, beside the configuration: its writing is no part of the reload.
    fn prepare(&mut self, reload: u32) -> anyhow::Result<PathBuf> {
        let next = self.running.directory.join(FILE);
        fs::write(&next, changing(reload))?;
        // What watching the files brought since the last one is not taken for this one.
        self.log.serves()?;
        Ok(next)
    }

    fn reload(&mut self, next: &Path) -> anyhow::Result<()> {
        fs::rename(next, self.running.directory.join(PLACE).join(FILE))?;
        let pid = i32::try_from(self.running.pid()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("no pid")?, rustix::process::Signal::HUP)?;
        let deadline = Instant::now() + RELOAD;
        while !self.log.serves()? {
            if Instant::now() > deadline {
                bail!("no new configuration served within {RELOAD:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Some routes that only this reload has.
fn changing(reload: u32) -> String {
    let one = |index: u32| {
        format!(
            "  - {{name: changing-{index}, match: {{hosts: [{index}.{reload}.example.com]}}, \
             backends: [{{upstream: origin}}]}}\n"
        )
    };
    format!("version: v1\nroutes:\n{}", (0..CHANGING).map(one).collect::<String>())
}

/// What the engine wrote, of which each line is read once.
struct Log {
    path: PathBuf,
    read: u64,
}

impl Log {
    /// Whether it says that another configuration serves than at the last call.
    fn serves(&mut self) -> anyhow::Result<bool> {
        let mut file = fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        Ok(text[..whole].contains(SERVES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_reloads_have_a_route_in_common() {
        let (one, two) = (changing(1), changing(2));
        let shared = one.lines().filter(|line| two.lines().any(|other| other == *line)).count();
        assert_eq!((one.lines().count(), shared), (102, 2), "{one}");
    }

    #[test]
    fn a_line_of_the_log_counts_once_and_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log { path: directory.path().join(LOG), read: 0 };
        let mut text = format!("INFO starting\nINFO {SERVES} gen");
        fs::write(&log.path, &text).unwrap();
        assert!(!log.serves().unwrap());
        text.push_str("eration=2\n");
        fs::write(&log.path, &text).unwrap();
        assert!(log.serves().unwrap());
        assert!(!log.serves().unwrap());
    }
}
