//! Waiting in tests: for a condition, with an end, and with a name for what did not come.

use std::time::{Duration, Instant};

use crate::broker::{Delivery, Subscription};

/// Longer than anything takes on a busy machine, and shorter than the minute that a test has.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// What `work` comes to. Panics with `what` if it takes too long.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let work = Box::pin(work);
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("not in {PATIENCE:?}: {what}"),
    }
}

/// Looks until `condition` holds. Panics with `what` if that takes too long.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !condition().await {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}

/// A peer that takes its time before it goes on: a test that uses it passes with a longer pause too.
pub async fn slowly(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// The next event of a group, which must come.
pub async fn next_event(subscription: &mut Subscription) -> Delivery {
    let next = within("the next event", subscription.next()).await;
    next.unwrap_or_else(|error| panic!("{error}"))
}

/// As [`until`], in a test without a runtime.
pub(super) fn until_blocking(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not in {limit:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not in 40s: a day without rain")]
    async fn patience_has_an_end() {
        let mut looks = 0;
        until("three looks", async || {
            looks += 1;
            looks == 3
        })
        .await;
        assert_eq!(within("a number", async { looks }).await, 3);
        until("a day without rain", async || false).await;
    }
}
