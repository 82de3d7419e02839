//! Waiting in tests: for a condition, with an end, and with a name for what did not come.
//!
//! Time that passes orders nothing. Where it is what a test is about, it is named here too.

use std::cell::RefCell;
use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longer than anything takes on a busy machine, and shorter than the minute that a test has.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// What `work` comes to. Panics with `what` if it takes too long.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, Box::pin(work)).await {
        Ok(done) => done,
        Err(_) => panic!("not in {PATIENCE:?}: {what}"),
    }
}

/// Looks until `condition` holds. Panics with `what` if that takes too long.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !condition().await {
            sleep(LOOK).await;
        }
    })
    .await;
}

/// Looks until there is what is looked for. Panics with what was there at last if that takes too
/// long.
pub async fn found<T, E: Debug>(mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let last = RefCell::new(None);
    let search = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(other) => *last.borrow_mut() = Some(other),
            }
            sleep(LOOK).await;
        }
    };
    match timeout(PATIENCE, Box::pin(search)).await {
        Ok(found) => found,
        Err(_) => panic!("not in {PATIENCE:?}; at last: {:?}", last.borrow()),
    }
}

/// A peer that takes its time before it goes on. It is what the proxy has to cope with: a test
/// that uses it passes with a longer pause too.
pub async fn slowly(pause: Duration) {
    sleep(pause).await;
}

/// Nothing is done for so long at least, and what the proxy does meanwhile is looked at
/// afterwards.
pub async fn rest(least: Duration) {
    sleep(least).await;
}

/// In a test on paused time: it goes on by so much, and what is due meanwhile is done.
pub async fn passes(time: Duration) {
    sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_is_waited_for() {
        let mut looks = 0;
        until("three looks", async || {
            looks += 1;
            looks == 3
        })
        .await;
        let number = found(async || {
            looks += 1;
            if looks < 9 { Err(looks) } else { Ok(looks) }
        });
        assert_eq!(number.await, 9);
        assert_eq!(within("a number", async { 4 }).await, 4);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not in 40s: a day without rain")]
    async fn patience_has_an_end() {
        until("a day without rain", async || false).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not in 40s: an answer")]
    async fn so_it_has_where_one_look_does_not_end() {
        until("an answer", async || std::future::pending().await).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "at last: Some(\"rain\")")]
    async fn what_was_there_instead_is_said() {
        found(async || Err::<(), _>("rain")).await;
    }
}
