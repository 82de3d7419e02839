//! A deadline that costs close to nothing to move.
//!
//! Requests move their deadline several times; a timer that is registered anew each time would
//! pay for it. Here the registered timer stays where it is while the deadline only moves later,
//! and looks again when it fires. It is registered anew only when the deadline comes closer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The one timer of a connection. Shared by the futures of its task, never across tasks.
pub struct Deadline {
    state: RefCell<TimerState>,
    /// The number of looks since it was moved.
    looks: Cell<u8>,
    cut: Cell<Cut>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    /// The next look finds the deadline passed, wherever it was moved meanwhile.
    Due,
    Done,
}

struct TimerState {
    wanted: Instant,
    registered: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    pub fn at(wanted: Instant) -> Self {
        let timer = Box::pin(sleep_until(wanted));
        let state = RefCell::new(TimerState { wanted, registered: wanted, timer });
        Self { state, looks: Cell::new(0), cut: Cell::new(Cut::No) }
    }

    pub fn set(&self, wanted: Instant) {
        self.looks.set(0);
        let mut state = self.state.borrow_mut();
        state.wanted = wanted;
        if wanted < state.registered {
            state.registered = wanted;
            state.timer.as_mut().reset(wanted);
        }
    }

    /// For how many looks the waiting task has made no progress: progress moves the deadline.
    pub fn look(&self) -> u8 {
        let looks = self.looks.get();
        self.looks.set(looks.saturating_add(1));
        looks
    }

    /// Something moved that has no deadline of its own.
    pub fn moves(&self) {
        self.looks.set(0);
    }

    /// Ends the wait now, whatever it was for.
    pub fn cut(&self) {
        self.cut.set(Cut::Due);
        self.set(Instant::now());
    }

    /// Whether a wait has ended before its time.
    pub fn is_cut(&self) -> bool {
        self.cut.get() != Cut::No
    }

    pub fn wanted(&self) -> Instant {
        self.state.borrow().wanted
    }

    /// Ready once the deadline has passed.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.cut.get() == Cut::Due {
            self.cut.set(Cut::Done);
            return Poll::Ready(());
        }
        let mut state = self.state.borrow_mut();
        while state.timer.as_mut().poll(cx).is_ready() {
            if state.wanted <= state.registered {
                return Poll::Ready(());
            }
            state.registered = state.wanted;
            let wanted = state.wanted;
            state.timer.as_mut().reset(wanted);
        }
        Poll::Pending
    }

    /// Runs `future` until the deadline, as it stands while the future runs.
    pub async fn bound<F: Future>(&self, future: F) -> Result<F::Output, Expired> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll_expired(cx).map(|()| Err(Expired))
        })
        .await
    }
}

/// Up to a tenth less, so that connections which began together do not end together.
pub fn jittered(age: Duration, random: u64) -> Duration {
    let parts = u32::try_from(random % 1_000).unwrap_or(0);
    age - age / 10_000 * parts
}

/// The deadline came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Expired;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_at_most_a_tenth_shorter() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(jittered(hour, 0), hour);
        for random in 0..5_000 {
            let age = jittered(hour, random);
            assert!(age <= hour && age > hour * 9 / 10, "{age:?}");
        }
    }

    async fn waits(deadline: &Deadline) -> Duration {
        let start = Instant::now();
        std::future::poll_fn(|cx| deadline.poll_expired(cx)).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn fires_at_its_time() {
        let deadline = Deadline::at(Instant::now() + Duration::from_secs(5));
        assert_eq!(waits(&deadline).await, Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_is_kept() {
        let deadline = Deadline::at(Instant::now() + Duration::from_secs(5));
        deadline.set(Instant::now() + Duration::from_secs(60));
        assert_eq!(waits(&deadline).await, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_is_kept() {
        let deadline = Deadline::at(Instant::now() + Duration::from_secs(60));
        deadline.set(Instant::now() + Duration::from_secs(1));
        assert_eq!(waits(&deadline).await, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn later_then_earlier_again_is_kept() {
        let deadline = Deadline::at(Instant::now() + Duration::from_secs(10));
        deadline.set(Instant::now() + Duration::from_secs(60));
        deadline.set(Instant::now() + Duration::from_secs(20));
        assert_eq!(waits(&deadline).await, Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_can_be_cut() {
        let deadline = Deadline::at(Instant::now() + Duration::from_secs(60));
        assert_eq!([(); 3].map(|()| deadline.look()), [0, 1, 2]);
        deadline.set(Instant::now() + Duration::from_secs(70));
        assert_eq!(deadline.look(), 0);
        let cut = async {
            deadline.cut();
            // The task that it wakes moves it first.
            deadline.set(Instant::now() + Duration::from_secs(60));
        };
        let (waited, ()) = tokio::join!(waits(&deadline), cut);
        assert_eq!((waited, deadline.is_cut()), (Duration::ZERO, true));
        // What is still to be said has its time.
        assert_eq!(waits(&deadline).await, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn bounds_a_future() {
        let deadline = Deadline::at(Instant::now() + Duration::from_secs(1));
        assert_eq!(deadline.bound(std::future::pending::<()>()).await, Err(Expired));
        deadline.set(Instant::now() + Duration::from_secs(1));
        assert_eq!(deadline.bound(async { 7 }).await, Ok(7));
    }
}
