//! Telling the connections of one worker to come to an end.
//!
//! A connection registers once and is woken when its listener retires or the whole worker
//! drains; between these events it costs nothing. Single-threaded: the worker's own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

/// The open connections of one listener on one worker.
#[derive(Default)]
pub struct Connections {
    draining: Cell<bool>,
    grace: Cell<Duration>,
    patience: Cell<Option<Duration>>,
    lingering: Cell<usize>,
    wakers: RefCell<Slab<Option<Waker>>>,
}

impl Connections {
    pub fn register(self: &Rc<Self>) -> Registration {
        let key = self.wakers.borrow_mut().insert(None);
        Registration { connections: Rc::clone(self), key, lingers: Cell::new(false) }
    }

    /// From now on every connection is asked to end; idle ones are woken to hear of it. Within
    /// `grace` one may still begin a request, so that a client learns from a response that the
    /// connection is going away.
    pub fn drain(&self, grace: Duration) {
        self.draining.set(true);
        self.grace.set(grace);
        for (_, waker) in self.wakers.borrow_mut().iter_mut() {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }

    /// Whoever drains these waits for their end only so long. To be said before.
    pub fn limit(&self, patience: Duration) {
        self.patience.set(Some(patience));
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub fn count(&self) -> usize {
        self.wakers.borrow().len()
    }

    /// Of these, the ones that have said everything and only wait for the client to hear it.
    pub fn lingering(&self) -> usize {
        self.lingering.get()
    }
}

/// One connection's place in the register; dropping it leaves.
pub struct Registration {
    connections: Rc<Connections>,
    key: usize,
    lingers: Cell<bool>,
}

impl Registration {
    pub fn is_draining(&self) -> bool {
        self.connections.is_draining()
    }

    /// A place beside this one, for a task of its own on the same connection.
    pub fn another(&self) -> Self {
        self.connections.register()
    }

    /// How long the end is waited for; `None` where nobody waits.
    pub fn patience(&self) -> Option<Duration> {
        self.connections.patience.get()
    }

    pub fn grace(&self) -> Duration {
        self.connections.grace.get()
    }

    /// Nothing more will be sent: a drain need not wait for this connection at any price.
    pub fn linger(&self) {
        if !self.lingers.replace(true) {
            self.connections.lingering.set(self.connections.lingering.get() + 1);
        }
    }

    /// Ends when the end has been announced.
    pub async fn draining(&self) {
        std::future::poll_fn(|cx| match self.poll_draining(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Ends when the end was announced and the time is over in which something may begin.
    pub async fn drained(&self) {
        self.draining().await;
        tokio::time::sleep(self.grace()).await;
    }

    /// Whether the end has been announced; if not, the task is woken when it is.
    pub fn poll_draining(&self, cx: &Context<'_>) -> bool {
        if self.connections.is_draining() {
            return true;
        }
        let mut wakers = self.connections.wakers.borrow_mut();
        if let Some(slot) = wakers.get_mut(self.key)
            && !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *slot = Some(cx.waker().clone());
        }
        false
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.wakers.borrow_mut().try_remove(self.key);
        if self.lingers.get() {
            self.connections.lingering.set(self.connections.lingering.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiting_connection_hears_of_the_drain() {
        let connections = Rc::new(Connections::default());
        let registration = connections.register();
        tokio::join!(registration.draining(), async { connections.drain(Duration::ZERO) });
        assert!(registration.is_draining());
    }

    #[test]
    fn leaving_frees_the_place() {
        let connections = Rc::new(Connections::default());
        let registration = connections.register();
        registration.linger();
        registration.linger();
        assert_eq!((connections.count(), connections.lingering()), (1, 1));
        drop(registration);
        assert_eq!((connections.count(), connections.lingering()), (0, 0));
    }
}
