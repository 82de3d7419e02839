//! When requests fall due, and who sends them.
//!
//! A thread of its own hands out turns: the runtime's timers have a granularity of a
//! millisecond, which would drown the latency of a proxy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Pacer {
    start: Instant,
    rate: f64,
    scheduled: u64,
    next: AtomicU64,
    due: Semaphore,
}

/// The right and the duty to send the request of this number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) index: u64,
    /// When it fell due.
    pub(super) due: Instant,
}

impl Pacer {
    pub(super) fn start(
        start: Instant,
        rate: f64,
        scheduled: u64,
        connections: usize,
    ) -> Arc<Self> {
        let pacer = Arc::new(Self {
            start,
            rate,
            scheduled,
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
        });
        let weak = Arc::downgrade(&pacer);
        std::thread::spawn(move || hand_out(&weak, connections));
        pacer
    }

    pub(super) fn start_time(&self) -> Instant {
        self.start
    }

    /// When the last request falls due.
    pub(super) fn end(&self) -> Instant {
        self.start + self.offset(self.scheduled)
    }

    /// Waits for the next due request; `None` when there are no more. A call that is dropped
    /// while it waits has taken nothing.
    pub(super) async fn turn(&self) -> Option<Turn> {
        self.due.acquire().await.ok()?.forget();
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.scheduled).then(|| Turn { index, due: self.start + self.offset(index) })
    }

    fn offset(&self, index: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a test sends fewer than 2^52 requests")]
        Duration::from_secs_f64(index as f64 / self.rate)
    }
}

fn hand_out(pacer: &Weak<Pacer>, connections: usize) {
    let mut handed = 0;
    // The load may be dropped before its end; nobody waits for this thread.
    while let Some(pacer) = pacer.upgrade() {
        let now = pacer.start.elapsed();
        let before = handed;
        while handed < pacer.scheduled && pacer.offset(handed) <= now {
            handed += 1;
        }
        pacer.due.add_permits(usize::try_from(handed - before).unwrap_or(0));
        if handed == pacer.scheduled {
            // One more for each connection: how it learns that there is nothing left.
            pacer.due.add_permits(connections);
            return;
        }
        let wait = pacer.offset(handed).saturating_sub(pacer.start.elapsed());
        drop(pacer);
        std::thread::sleep(wait.min(Duration::from_millis(50)));
    }
}
