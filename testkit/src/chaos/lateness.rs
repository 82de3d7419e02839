//! How late this side of a run was itself, so that a slow machine is not taken for a slow gateway.
//!
//! Clients and origins of a run are tasks of one runtime. A task of the same runtime asks to be
//! woken at a constant distance and notes how much later it was woken: whatever kept it from
//! running kept the others from it, too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::ledger::Ledger;

const PERIOD: Duration = Duration::from_millis(20);
/// Less than this is usual, and nobody's excuse.
const USUAL: Duration = Duration::from_millis(10);
/// More stalls than fit into the longest request by far.
const REMEMBERED: usize = 10_000;

/// The times at which nothing of this side ran.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// From when something should have run until it did, one after the other.
    stalls: VecDeque<(Instant, Instant)>,
    /// When the next look is due.
    due: Option<Instant>,
    longest: Duration,
}

impl Lateness {
    /// Notes that what was due then has come now, and when the next is due.
    fn note(&self, due: Instant, came: Instant, next: Instant) {
        let mut book = self.book();
        let late = came.saturating_duration_since(due);
        if late > USUAL {
            if book.stalls.len() == REMEMBERED {
                book.stalls.pop_front();
            }
            book.stalls.push_back((due, came));
            book.longest = book.longest.max(late);
        }
        book.due = Some(next);
    }

    /// How much of this time was stalled. What began and has not ended counts as well.
    pub(super) fn between(&self, from: Instant, to: Instant) -> Duration {
        let book = self.book();
        let begun = book.due.map(|due| (due, to)).filter(|(due, _)| *due + USUAL < to);
        let stalls = book.stalls.iter().copied().rev().take_while(|(_, came)| *came > from);
        let within =
            |(due, came): (Instant, Instant)| came.min(to).saturating_duration_since(due.max(from));
        stalls.chain(begun).map(within).sum()
    }

    pub(super) fn longest(&self) -> Duration {
        self.book().longest
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes on looking until it is dropped.
pub(super) struct Watch(JoinHandle<()>);

impl Watch {
    pub(super) fn start(ledger: &Arc<Ledger>) -> Self {
        let ledger = Arc::clone(ledger);
        Self(tokio::spawn(async move {
            let mut due = Instant::now() + PERIOD;
            loop {
                sleep_until(due).await;
                let came = Instant::now();
                ledger.lateness.note(due, came, came + PERIOD);
                due = came + PERIOD;
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Nothing ran for this long from then on.
    pub(in crate::chaos) fn stall(lateness: &Lateness, from: Instant, lasts: Duration) {
        lateness.note(from, from + lasts, from + lasts + Duration::from_secs(3600));
    }

    #[test]
    fn stalls_are_counted_where_they_overlap() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let at = |tenths: u32| start + second / 10 * tenths;
        let lateness = Lateness::default();
        stall(&lateness, at(10), second);
        lateness.note(at(22), at(22) + USUAL, at(30));
        let check = |from, to, tenths| {
            assert_eq!(lateness.between(at(from), at(to)), second / 10 * tenths, "{from} {to}");
        };
        check(0, 9, 0);
        check(0, 15, 5);
        check(15, 29, 5);
        check(0, 29, 10);
        check(20, 29, 0);
        // What is due at 30 has not come yet.
        check(20, 35, 5);
        assert_eq!(lateness.longest(), second);
    }

    #[tokio::test]
    async fn a_runtime_that_is_kept_from_running_is_noticed() {
        let ledger = Arc::new(Ledger::new());
        let _watch = Watch::start(&ledger);
        let begun = Instant::now();
        while ledger.lateness.book().due.is_none() {
            tokio::task::yield_now().await;
        }
        // Not asleep but in the way: the runtime has this thread alone.
        std::thread::sleep(Duration::from_millis(200));
        let late = ledger.lateness.between(begun, Instant::now());
        assert!(late >= Duration::from_millis(150), "{late:?}");
    }
}
