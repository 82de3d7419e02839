//! How late this machine was itself, so that it is not taken for the lateness of what is tested.
//!
//! Something asks to be woken at a constant distance and notes how much later it was woken:
//! whatever kept it from running kept the test, its peers and the program under test from it, too.
//! A time that is measured beside such a control can be judged on a machine that others use.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// More stalls than fit into the longest request by far.
const REMEMBERED: usize = 10_000;

/// The times at which a thread, or a task of a runtime, did not run though it was due.
#[derive(Debug, Clone, Default)]
pub struct Lateness(Arc<Mutex<Book>>);

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
        if late > Duration::ZERO {
            if book.stalls.len() == REMEMBERED {
                book.stalls.pop_front();
            }
            book.stalls.push_back((due, came));
            book.longest = book.longest.max(late);
        }
        book.due = Some(next);
    }

    /// How much of this time was stalled. What began and has not ended counts as well.
    pub fn between(&self, from: Instant, to: Instant) -> Duration {
        let book = self.book();
        let begun = book.due.map(|due| (due, to)).filter(|(due, _)| *due < to);
        let stalls = book.stalls.iter().copied().rev().take_while(|(_, came)| *came > from);
        let within =
            |(due, came): (Instant, Instant)| came.min(to).saturating_duration_since(due.max(from));
        stalls.chain(begun).map(within).sum()
    }

    pub fn longest(&self) -> Duration {
        self.book().longest
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread beside a test that does nothing but look how late it is itself.
#[derive(Debug)]
pub struct Control {
    since: Instant,
    lateness: Lateness,
    /// The thread ends when this does.
    _running: Sender<()>,
}

impl Control {
    const PERIOD: Duration = Duration::from_millis(5);
    /// Less than this is usual, and no stall.
    const USUAL: Duration = Duration::from_millis(1);

    /// Begins to take the time.
    pub fn start() -> Self {
        let (running, ended) = channel::<()>();
        let (since, lateness) = (Instant::now(), Lateness::default());
        let noted = lateness.clone();
        lateness.note(since, since, since + Self::PERIOD + Self::USUAL);
        std::thread::spawn(move || {
            while ended.recv_timeout(Self::PERIOD) == Err(RecvTimeoutError::Timeout) {
                let (came, due) = (Instant::now(), noted.book().due);
                noted.note(due.unwrap_or(came), came, came + Self::PERIOD + Self::USUAL);
            }
        });
        Self { since, lateness, _running: running }
    }

    /// The time since the start, by the clock: what must not be too short.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// The same without the times at which this machine let the control wait: what must not be too
    /// long.
    pub fn taken(&self) -> Duration {
        self.elapsed().saturating_sub(self.late())
    }

    /// How long the control did not run though it was due.
    pub fn late(&self) -> Duration {
        self.lateness.between(self.since, Instant::now())
    }
}

/// Notes how late the tasks of a runtime are, until it is dropped.
pub(crate) struct Watch(JoinHandle<()>);

impl Watch {
    const PERIOD: Duration = Duration::from_millis(20);
    const USUAL: Duration = Duration::from_millis(10);

    /// Within the runtime that is watched.
    pub(crate) fn start(lateness: &Lateness) -> Self {
        let lateness = lateness.clone();
        Self(tokio::spawn(async move {
            loop {
                let next = Instant::now() + Self::PERIOD;
                lateness.book().due = Some(next + Self::USUAL);
                tokio::time::sleep_until(next.into()).await;
                let came = Instant::now();
                lateness.note(next + Self::USUAL, came, came + Self::PERIOD + Self::USUAL);
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
pub(crate) mod tests {
    use super::*;

    /// Nothing ran for this long from then on.
    pub(crate) fn stall(lateness: &Lateness, from: Instant, lasts: Duration) {
        lateness.note(from, from + lasts, from + lasts + Duration::from_secs(3600));
    }

    /// Keeps this thread from all else: what a control has to notice.
    fn in_the_way(least: Duration) {
        std::thread::sleep(least);
    }

    #[test]
    fn stalls_are_counted_where_they_overlap() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let at = |tenths: u32| start + second / 10 * tenths;
        let lateness = Lateness::default();
        lateness.note(at(10), at(20), at(22));
        lateness.note(at(22), at(22), at(30));
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
        let lateness = Lateness::default();
        let _watch = Watch::start(&lateness);
        let begun = Instant::now();
        while lateness.book().due.is_none() {
            tokio::task::yield_now().await;
        }
        // The runtime has this thread alone.
        in_the_way(Duration::from_millis(200));
        let late = lateness.between(begun, Instant::now());
        assert!(late >= Duration::from_millis(150), "{late:?}");
    }

    #[test]
    fn a_control_takes_off_no_more_than_it_was_late() {
        let control = Control::start();
        in_the_way(Duration::from_millis(100));
        let elapsed = control.elapsed();
        let (taken, late) = (control.taken(), control.late());
        assert!(elapsed >= Duration::from_millis(100));
        assert!(taken + late >= elapsed, "{taken:?} and {late:?} of {elapsed:?}");
        // A thread that has not been let run for long takes all of that off.
        stall(&control.lateness, control.since, Duration::from_secs(3600));
        assert_eq!(control.taken(), Duration::ZERO);
    }
}
