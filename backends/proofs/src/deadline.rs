//! Waiting for what must come: looked for again and again, with an end to the patience.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything takes; what waits for so long has failed. A consumer that was killed with
/// events in hand holds them for 30 seconds on NATS.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Until when something must have come.
#[derive(Debug)]
pub struct Deadline {
    what: String,
    at: Instant,
}

impl Deadline {
    pub fn new(what: impl Into<String>, within: Duration) -> Self {
        Self { what: what.into(), at: Instant::now() + within }
    }

    /// Panics, with what was seen last, once the time is over.
    #[track_caller]
    pub fn check(&self, last: &dyn Debug) {
        assert!(Instant::now() < self.at, "not in time: {}; at last: {last:?}", self.what);
    }

    /// Until the next look.
    pub async fn pause(&self) {
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn patience_has_an_end() {
        let deadline = Deadline::new("rest", Duration::from_secs(60));
        deadline.check(&"busy");
        deadline.pause().await;
        let over = Deadline::new("rest", Duration::ZERO);
        let panicked = std::panic::catch_unwind(|| over.check(&"busy")).unwrap_err();
        let text = panicked.downcast_ref::<String>().unwrap();
        assert_eq!(text, "not in time: rest; at last: \"busy\"");
    }
}
