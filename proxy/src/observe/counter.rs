//! Numbers that one worker writes and any thread may read.
//!
//! A worker owns its shard alone, so counting is a load and a store, never a locked instruction,
//! and no two workers write one cache line. A second writer would lose counts, nothing worse.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// Which worker counts: its place in every [`Shards`], from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub usize);

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    pub fn increment(&self) {
        self.add(1);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down. Each worker's part may be negative when something is opened
/// on one worker and closed on another: only the sum means something.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, amount: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Counts one until the guard is dropped, so that a panic cannot leave it counted.
    pub fn hold(&self) -> GaugeGuard<'_> {
        self.add(1);
        GaugeGuard(self)
    }

    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One thing counted by a [`Gauge`].
#[derive(Debug)]
#[must_use = "dropping it at once counts nothing"]
pub struct GaugeGuard<'a>(&'a Gauge);

impl Drop for GaugeGuard<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// One `T` for each worker, made when that worker first counts in it.
#[derive(Debug)]
pub struct Shards<T> {
    slots: Box<[OnceLock<Box<CachePadded<T>>>]>,
}

impl<T: Default> Shards<T> {
    pub fn new(workers: usize) -> Self {
        Self { slots: (0..workers.max(1)).map(|_| OnceLock::new()).collect() }
    }

    /// The worker's own shard.
    ///
    /// # Panics
    /// When the worker's number is not below the count that the shards were made for.
    pub fn of(&self, worker: WorkerId) -> &T {
        self.slots[worker.0].get_or_init(Box::default)
    }

    /// The shards that were ever used.
    pub fn used(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.get().map(|shard| &***shard))
    }

    pub fn is_used(&self) -> bool {
        self.used().next().is_some()
    }

    /// Sums one counter over all workers.
    pub fn sum(&self, of: impl Fn(&T) -> &Counter) -> u64 {
        self.used().fold(0, |sum, shard| sum.wrapping_add(of(shard).value()))
    }

    /// Sums one gauge over all workers.
    pub fn level(&self, of: impl Fn(&T) -> &Gauge) -> i64 {
        self.used().fold(0, |sum, shard| sum.wrapping_add(of(shard).value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Shard {
        seen: Counter,
        open: Gauge,
    }

    #[test]
    fn counts_are_summed_over_workers_that_run_at_once() {
        let shards = Shards::<Shard>::new(4);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let shards = &shards;
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        shards.of(WorkerId(worker)).seen.increment();
                    }
                });
            }
        });
        assert_eq!(shards.sum(|shard| &shard.seen), 40_000);
    }

    #[test]
    fn a_shard_exists_only_once_its_worker_counts() {
        let shards = Shards::<Shard>::new(8);
        assert!(!shards.is_used());
        shards.of(WorkerId(5)).seen.increment();
        assert_eq!(shards.used().count(), 1);
    }

    #[test]
    fn shards_share_no_cache_line() {
        let shards = Shards::<Shard>::new(2);
        let first = std::ptr::from_ref(shards.of(WorkerId(0))) as usize;
        let second = std::ptr::from_ref(shards.of(WorkerId(1))) as usize;
        assert!(first.abs_diff(second) >= 64, "{first:x} and {second:x}");
    }

    #[test]
    fn what_is_opened_here_and_closed_there_comes_to_nothing() {
        let shards = Shards::<Shard>::new(2);
        shards.of(WorkerId(0)).open.add(3);
        shards.of(WorkerId(1)).open.add(-2);
        assert_eq!(shards.level(|shard| &shard.open), 1);
    }

    #[test]
    fn a_panic_lets_go_of_what_was_held() {
        let gauge = Gauge::default();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = gauge.hold();
            assert_eq!(gauge.value(), 1);
            std::panic::resume_unwind(Box::new("the connection's task panics"));
        }));
        assert!(outcome.is_err());
        assert_eq!(gauge.value(), 0);
    }
}
