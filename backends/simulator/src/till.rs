//! How much longer the customers come: a budget of orders, a time, and a hand that can close.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Till {
    /// Orders that may still be placed.
    left: AtomicU32,
    until: OnceLock<Instant>,
    closed: AtomicBool,
}

impl Till {
    pub(crate) fn new(orders: u32) -> Self {
        let (until, closed) = (OnceLock::new(), AtomicBool::new(false));
        Self { left: AtomicU32::new(orders), until, closed }
    }

    /// From now on it is open for so long, and no longer.
    pub(crate) fn open_for(&self, duration: Duration) {
        // Who opens it once more changes nothing.
        self.until.get_or_init(|| Instant::now() + duration);
    }

    /// One order from the budget, if there is one.
    pub(crate) fn take(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.is_open() && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
            && self.left.load(Ordering::Relaxed) > 0
            && self.until.get().is_none_or(|until| Instant::now() < *until)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whatever_comes_first_closes() {
        let till = Till::new(2);
        assert_eq!([till.take(), till.take(), till.take()], [true, true, false]);
        assert!(!till.is_open());

        let till = Till::new(2);
        till.open_for(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(29)).await;
        till.open_for(Duration::from_secs(30));
        assert!(till.is_open() && till.take());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!till.is_open() && !till.take());

        let till = Till::new(2);
        till.close();
        assert!(!till.is_open() && !till.take());
    }
}
