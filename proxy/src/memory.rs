//! The memory of the process against its limit: one task measures, everybody else reads a level.
//!
//! Knows neither requests nor connections: what each level means for them stands where they are
//! served. What it measures is what is resident, which is what a container is killed for.

mod container;
mod recent;
mod report;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use portcullis_config::model::MemoryLimit;
use tokio::time::{Instant, sleep};

pub use recent::{RecentRequest, RecentRequests};
use report::Report;

/// How often memory is measured while there is enough of it, and while there is not: at the speed
/// of memory itself a flood takes some 10 MiB in the shorter time.
const CALM: Duration = Duration::from_millis(100);
const ALERT: Duration = Duration::from_millis(10);
/// How often the container's limit is looked at, which may change while the process runs.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What a request may take: a buffer for each direction.
const REQUEST: u64 = 2 * crate::buffer::BUFFER_BYTES as u64;

/// How short memory is. Each level includes what the ones before it mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Enough,
    /// Connections are not kept between requests.
    Tight,
    /// Requests are refused.
    Full,
    /// Connections are refused.
    Over,
}

impl Level {
    const ALL: [Self; 4] = [Self::Enough, Self::Tight, Self::Full, Self::Over];

    /// As operators read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Tight => "tight",
            Self::Full => "full",
            Self::Over => "over",
        }
    }

    /// The share of the limit, in percent, at which a level begins.
    const fn begins(self) -> u64 {
        match self {
            Self::Enough => 0,
            Self::Tight => 80,
            Self::Full => 90,
            Self::Over => 100,
        }
    }

    /// The level after a measurement. One is left only some way below where it begins, so that
    /// nothing flutters around its mark.
    fn after(self, resident: u64, limit: u64) -> Self {
        const MARGIN: u64 = 3;
        let reached = |level: &Self| {
            let margin = if *level <= self { MARGIN } else { 0 };
            let begins = level.begins().saturating_sub(margin);
            u128::from(resident) * 100 >= u128::from(limit) * u128::from(begins)
        };
        Self::ALL.into_iter().rev().find(reached).unwrap_or(Self::Enough)
    }
}

/// What was measured last, and what follows from it.
#[derive(Debug)]
pub struct Memory {
    level: AtomicU8,
    resident: AtomicU64,
    /// 0 while there is none.
    limit: AtomicU64,
    /// How many requests fit before the process is full; without a limit, more than can ever come.
    room: AtomicU64,
    /// Requests that were refused, and connections that were cut, since the process began.
    refused: AtomicU64,
    cut: AtomicU64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            level: AtomicU8::default(),
            resident: AtomicU64::default(),
            limit: AtomicU64::default(),
            room: AtomicU64::new(u64::MAX),
            refused: AtomicU64::default(),
            cut: AtomicU64::default(),
        }
    }
}

impl Memory {
    pub fn level(&self) -> Level {
        let level = usize::from(self.level.load(Relaxed));
        Level::ALL.get(level).copied().unwrap_or(Level::Enough)
    }

    /// Whether to refuse requests, if `recent` requests are in flight whose memory is not measured
    /// yet.
    pub fn is_full(&self, recent_requests: u64) -> bool {
        recent_requests > self.room.load(Relaxed)
    }

    /// Counts a request that was refused because memory is short.
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Counts connections without progress that were cut because memory is short.
    pub fn count_cut(&self, connections: usize) {
        self.cut.fetch_add(connections as u64, Relaxed);
    }

    pub fn resident(&self) -> u64 {
        self.resident.load(Relaxed)
    }

    pub fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit > 0)
    }

    /// Takes a measurement in, and says what changed.
    pub fn observe(&self, resident: u64, limit: Option<u64>) -> Option<Level> {
        self.resident.store(resident, Relaxed);
        self.limit.store(limit.unwrap_or(0), Relaxed);
        let before = self.level();
        let now = limit.map_or(Level::Enough, |limit| before.after(resident, limit));
        let room = match limit {
            None => u64::MAX,
            Some(_) if now >= Level::Full => 0,
            Some(limit) => (limit / 100 * Level::Full.begins()).saturating_sub(resident) / REQUEST,
        };
        self.room.store(room, Relaxed);
        if now != before {
            self.level.store(now as u8, Relaxed);
        }
        (now != before).then_some(now)
    }
}

/// Measures for as long as the process serves. What is `configured` may change meanwhile.
pub async fn watch(memory: Arc<Memory>, configured: impl Fn() -> MemoryLimit) {
    let statm = match Statm::open() {
        Ok(statm) => statm,
        Err(error) => return tracing::error!(%error, "memory cannot be measured"),
    };
    let mut report = Report::default();
    let mut container = container::limit().unwrap_or_default();
    let mut look = Instant::now() + LOOK_EVERY;
    let mut reported = None;
    loop {
        if Instant::now() >= look {
            match container::limit() {
                Ok(limit) => container = limit,
                // A process without descriptors reads nothing: what was read before holds.
                Err(error) => tracing::debug!(%error, "the container's limit was not read"),
            }
            look = Instant::now() + LOOK_EVERY;
        }
        let limit = allowed(configured(), container);
        if reported != Some(limit) {
            reported = Some(limit);
            tracing::info!(limit, "the limit of memory");
        }
        let pause = match statm.resident() {
            Ok(resident) => {
                memory.observe(resident, limit);
                report.look(&memory, Instant::now());
                pause(resident, limit)
            }
            Err(error) => {
                tracing::debug!(%error, "memory was not measured");
                CALM
            }
        };
        sleep(pause).await;
    }
}

/// What may be resident. Of a container's limit a tenth is left to the kernel, which counts the
/// buffers of sockets too.
fn allowed(configured: MemoryLimit, container: Option<u64>) -> Option<u64> {
    match configured {
        MemoryLimit::Auto => container.map(|bytes| bytes - bytes / 10),
        MemoryLimit::Disabled => None,
        MemoryLimit::Bytes(bytes) => Some(bytes),
    }
}

fn pause(resident: u64, limit: Option<u64>) -> Duration {
    let alert = limit.is_some_and(|limit| resident >= limit / 10 * 6);
    if alert { ALERT } else { CALM }
}

/// The process's own figures, kept open: a process without descriptors is measured too.
struct Statm {
    file: File,
    page: u64,
}

impl Statm {
    fn open() -> io::Result<Self> {
        let file = File::open("/proc/self/statm")?;
        Ok(Self { file, page: rustix::param::page_size() as u64 })
    }

    fn resident(&self) -> io::Result<u64> {
        let mut text = [0; 128];
        let length = self.file.read_at(&mut text, 0)?;
        let pages = std::str::from_utf8(&text[..length])
            .ok()
            .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
        pages.map(|pages| pages * self.page).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_at_their_marks_and_end_below_them() {
        let memory = Memory::default();
        for (percent, expected) in [
            (79, Level::Enough),
            (80, Level::Tight),
            (77, Level::Tight),
            (76, Level::Enough),
            (79, Level::Enough),
            (89, Level::Tight),
            (90, Level::Full),
            (87, Level::Full),
            (86, Level::Tight),
            (100, Level::Over),
            (97, Level::Over),
            (96, Level::Full),
            (500, Level::Over),
            (0, Level::Enough),
        ] {
            memory.observe(percent << 20, Some(100 << 20));
            assert_eq!(memory.level(), expected, "{percent} %");
            assert_eq!(memory.is_full(1), expected >= Level::Full);
        }
    }

    /// A burst is admitted faster than memory can be measured.
    #[test]
    fn requests_that_have_just_begun_count_as_if_they_had_grown() {
        let memory = Memory::default();
        assert!(!memory.is_full(1_000_000));
        memory.observe(70 << 20, Some(100 << 20));
        assert!(!memory.is_full(160) && memory.is_full(161));
        memory.observe(80 << 20, Some(100 << 20));
        assert!(!memory.is_full(80) && memory.is_full(81));
    }

    #[test]
    fn without_a_limit_there_is_always_enough() {
        let memory = Memory::default();
        assert_eq!(memory.observe(100, Some(100)), Some(Level::Over));
        assert_eq!(memory.observe(u64::MAX, None), Some(Level::Enough));
        assert_eq!((memory.level(), memory.limit()), (Level::Enough, None));
        assert_eq!(memory.observe(u64::MAX, Some(u64::MAX)), Some(Level::Over));
    }

    #[test]
    fn what_is_configured_comes_before_the_container() {
        assert_eq!(allowed(MemoryLimit::Auto, Some(1_000)), Some(900));
        assert_eq!(allowed(MemoryLimit::Auto, None), None);
        assert_eq!(allowed(MemoryLimit::Disabled, Some(1_000)), None);
        assert_eq!(allowed(MemoryLimit::Bytes(2_000), Some(1_000)), Some(2_000));
    }

    #[test]
    fn it_is_measured_more_often_when_it_grows_short() {
        assert_eq!(pause(u64::MAX, None), CALM);
        assert_eq!(pause(50, Some(100)), CALM);
        assert_eq!(pause(60, Some(100)), ALERT);
    }

    #[test]
    fn this_process_can_be_measured() {
        let resident = Statm::open().unwrap().resident().unwrap();
        assert!((1 << 20..1 << 36).contains(&resident), "{resident}");
    }
}
