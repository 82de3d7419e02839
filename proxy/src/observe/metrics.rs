//! Every metric of the process, found by name by those who build live state.
//!
//! The table holds weak references: a series that a new configuration still names keeps its counts,
//! and a series that is not used any more leaves `/metrics` with its last user. Locks here are
//! taken by control work only; a worker holds handles.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prometheus::Registry;

use super::collector;
use super::counter::{Counter, Shards, WorkerId};
use super::series::{EndpointMetrics, ListenerMetrics, RouteMetrics, UpstreamMetrics};
use crate::memory::Memory;

/// The metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    pub(super) routes: SeriesTable<String, RouteMetrics>,
    pub(super) listeners: SeriesTable<String, ListenerMetrics>,
    pub(super) upstreams: SeriesTable<String, UpstreamMetrics>,
    pub(super) endpoints: SeriesTable<(String, String), EndpointMetrics>,
    pub(super) process: Process,
    pub(super) access_log: Arc<AccessLogMetrics>,
    pub(super) unrouted: Arc<RouteMetrics>,
}

/// How a reload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new generation serves.
    Success,
    /// The old generation serves on.
    Failure,
    /// Nothing had changed.
    Unchanged,
}

impl Metrics {
    /// Registers everything; an error means that the registry holds these names already.
    pub fn new(workers: usize, registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Arc::new(Self {
            workers,
            routes: SeriesTable::default(),
            listeners: SeriesTable::default(),
            upstreams: SeriesTable::default(),
            endpoints: SeriesTable::default(),
            process: Process::default(),
            access_log: Arc::new(AccessLogMetrics::new(workers)),
            unrouted: Arc::new(RouteMetrics::new("", workers)),
        });
        collector::register(&metrics, registry)?;
        Ok(metrics)
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.routes.find_or_insert(name.to_owned(), || RouteMetrics::new(name, self.workers))
    }

    /// Counts requests that no route was chosen for: malformed ones, and those without a match.
    pub fn unrouted(&self) -> Arc<RouteMetrics> {
        Arc::clone(&self.unrouted)
    }

    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.listeners.find_or_insert(name.to_owned(), || ListenerMetrics::new(name, self.workers))
    }

    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.find_or_insert(name.to_owned(), || UpstreamMetrics::new(name, self.workers))
    }

    /// The address is the label: an address with its port, or the path of a Unix socket.
    pub fn endpoint(&self, upstream: &str, address: &str) -> Arc<EndpointMetrics> {
        self.endpoints.find_or_insert((upstream.to_owned(), address.to_owned()), || {
            EndpointMetrics::new(upstream, address, self.workers)
        })
    }

    pub fn access_log(&self) -> Arc<AccessLogMetrics> {
        Arc::clone(&self.access_log)
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: ReloadResult) {
        self.process.reloads[result as usize].fetch_add(1, Relaxed);
    }

    /// The generation that new requests meet, from the first one on.
    pub fn set_generation(&self, generation: u64) {
        self.process.generation.store(generation, Relaxed);
    }

    /// All files whose last good version serves; those of an earlier call that are missing are
    /// good again.
    pub fn set_stale_files<'a>(&self, files: impl IntoIterator<Item = &'a Path>) {
        let files = files.into_iter().map(|file| (file.display().to_string(), 1)).collect();
        *locked(&self.process.stale_files) = files;
    }

    /// All certificates that are served, by a name from the configuration, with the second of
    /// their expiry; those of an earlier call that are missing are no longer served.
    pub fn set_certificates<'a>(&self, expiries: impl IntoIterator<Item = (&'a str, i64)>) {
        let expiries = expiries.into_iter().map(|(name, expiry)| (name.to_owned(), expiry));
        *locked(&self.process.certificates) = expiries.collect();
    }

    /// The process's memory, as it is measured.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.process.memory
    }

    pub fn set_draining(&self) {
        self.process.draining.store(true, Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.process.draining.load(Relaxed)
    }
}

impl ReloadResult {
    pub(super) const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Unchanged];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What happens to the process as a whole, seldom and on any thread.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) reloads: [AtomicU64; ReloadResult::ALL.len()],
    pub(super) generation: AtomicU64,
    pub(super) draining: AtomicBool,
    pub(super) memory: Arc<Memory>,
    pub(super) stale_files: Mutex<BTreeMap<String, i64>>,
    pub(super) certificates: Mutex<BTreeMap<String, i64>>,
}

/// What becomes of access log lines.
#[derive(Debug)]
pub struct AccessLogMetrics {
    pub(super) workers: Shards<AccessLogShard>,
    /// Written by the writer thread alone.
    pub(super) write_failed: Counter,
}

#[derive(Debug, Default)]
pub(super) struct AccessLogShard {
    pub(super) lines: Counter,
    pub(super) queue_full: Counter,
}

impl AccessLogMetrics {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: Shards::new(workers), write_failed: Counter::default() }
    }

    pub(super) fn handed_over(&self, worker: WorkerId, lines: u64) {
        self.workers.of(worker).lines.add(lines);
    }

    pub(super) fn queue_full(&self, worker: WorkerId, lines: u64) {
        self.workers.of(worker).queue_full.add(lines);
    }

    pub(super) fn write_failed(&self, lines: u64) {
        self.write_failed.add(lines);
    }

    /// Lines lost so far: dropped at a full queue, and failed to be written.
    pub fn dropped(&self) -> (u64, u64) {
        (self.workers.sum(|shard| &shard.queue_full), self.write_failed.value())
    }
}

/// Series by name, for as long as they are used elsewhere.
#[derive(Debug)]
pub(super) struct SeriesTable<K, T>(Mutex<Entries<K, T>>);

#[derive(Debug)]
struct Entries<K, T> {
    by_key: BTreeMap<K, Weak<T>>,
    /// Size at which the dead are next looked for, so that inserting stays cheap.
    sweep_at: usize,
}

const SMALLEST_SWEEP: usize = 64;

impl<K, T> Default for SeriesTable<K, T> {
    fn default() -> Self {
        Self(Mutex::new(Entries { by_key: BTreeMap::new(), sweep_at: SMALLEST_SWEEP }))
    }
}

impl<K: Ord, T> SeriesTable<K, T> {
    fn find_or_insert(&self, key: K, make: impl FnOnce() -> T) -> Arc<T> {
        let mut entries = locked(&self.0);
        if let Some(found) = entries.by_key.get(&key).and_then(Weak::upgrade) {
            return found;
        }
        if entries.by_key.len() >= entries.sweep_at {
            entries.by_key.retain(|_, thing| thing.strong_count() > 0);
            entries.sweep_at = SMALLEST_SWEEP.max(entries.by_key.len() * 2);
        }
        let made = Arc::new(make());
        entries.by_key.insert(key, Arc::downgrade(&made));
        made
    }

    /// Every series that is still used.
    pub(super) fn live(&self) -> Vec<Arc<T>> {
        let mut entries = locked(&self.0);
        let mut live = Vec::with_capacity(entries.by_key.len());
        entries.by_key.retain(|_, thing| match thing.upgrade() {
            Some(thing) => {
                live.push(thing);
                true
            }
            None => false,
        });
        live
    }
}

/// A panic elsewhere leaves tables of numbers intact.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
