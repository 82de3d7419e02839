//! Caps of one cluster over all workers: open connections, and requests waiting for one.
//!
//! Counters are shared by the generations of a cluster and limits belong to each, so a reload
//! changes a limit without forgetting what is open. They are touched when a connection is opened
//! or closed and when a request has to wait, never for a request on a pooled connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Usage {
    open: AtomicU32,
    pending: AtomicU32,
    freed: Notify,
}

/// The right to one open connection; given back on drop.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<Usage>);

/// A place among those who wait; given back on drop.
#[derive(Debug)]
pub struct PendingPermit(Arc<Usage>);

impl Usage {
    pub(super) fn try_connect(self: &Arc<Self>, limit: u32) -> Option<ConnectionPermit> {
        take(&self.open, limit).then(|| ConnectionPermit(Arc::clone(self)))
    }

    /// Waits until a connection may be opened. Callers give it a deadline. One that stands
    /// behind others does not try at once, lest it take what was freed for them.
    pub(super) async fn connect(self: &Arc<Self>, limit: u32, at_once: bool) -> ConnectionPermit {
        let mut may_try = at_once;
        loop {
            let freed = self.freed.notified();
            if may_try && let Some(permit) = self.try_connect(limit) {
                // A limit that was raised lets in more than one for each that was freed.
                return permit;
            }
            freed.await;
            may_try = true;
        }
    }

    pub(super) fn try_pend(self: &Arc<Self>, limit: u32) -> Option<PendingPermit> {
        take(&self.pending, limit).then(|| PendingPermit(Arc::clone(self)))
    }

    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Release);
        self.0.freed.notify_one();
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Release);
    }
}

fn take(counter: &AtomicU32, limit: u32) -> bool {
    counter
        .fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| {
            (count < limit).then_some(count + 1)
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_gets_the_place_that_is_freed() {
        let usage = Arc::new(Usage::default());
        let first = usage.try_connect(1).unwrap();
        assert!(usage.try_connect(1).is_none());
        let waiting = tokio::spawn({
            let usage = Arc::clone(&usage);
            async move { usage.connect(1, true).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert_eq!(usage.open(), 1);
        drop(second);
        assert_eq!(usage.open(), 0);
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_passes_its_wake_on() {
        let usage = Arc::new(Usage::default());
        let held = usage.try_connect(1).unwrap();
        let mut quitter = Box::pin(usage.connect(1, true));
        assert!(poll_once(quitter.as_mut()).await.is_none());
        let mut stayer = Box::pin(usage.connect(1, true));
        assert!(poll_once(stayer.as_mut()).await.is_none());
        drop(held);
        drop(quitter);
        assert!(poll_once(stayer.as_mut()).await.is_some());
    }

    async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match future.as_mut().poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[test]
    fn pending_places_are_counted_and_given_back() {
        let usage = Arc::new(Usage::default());
        assert!(usage.try_pend(0).is_none());
        let permit = usage.try_pend(1).unwrap();
        assert!(usage.try_pend(1).is_none());
        assert!(usage.try_pend(2).is_some(), "a raised limit counts what was there");
        assert_eq!(usage.pending(), 1);
        drop(permit);
        assert_eq!(usage.pending(), 0);
    }
}
