//! Telling the connections of one worker to come to an end.
//!
//! A connection registers once and is woken when its listener retires or the whole worker
//! drains; between these events it costs nothing. Single-threaded: the worker's own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use slab::Slab;

/// The open connections of one listener on one worker.
#[derive(Default)]
pub struct Connections {
    draining: Cell<bool>,
    wakers: RefCell<Slab<Option<Waker>>>,
}

impl Connections {
    pub fn register(self: &Rc<Self>) -> Registration {
        let key = self.wakers.borrow_mut().insert(None);
        Registration { connections: Rc::clone(self), key }
    }

    /// From now on every connection is asked to end; idle ones are woken to hear of it.
    pub fn drain(&self) {
        self.draining.set(true);
        for (_, waker) in self.wakers.borrow_mut().iter_mut() {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub fn count(&self) -> usize {
        self.wakers.borrow().len()
    }
}

/// One connection's place in the register; dropping it leaves.
pub struct Registration {
    connections: Rc<Connections>,
    key: usize,
}

impl Registration {
    pub fn is_draining(&self) -> bool {
        self.connections.is_draining()
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
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_waiting_connection_hears_of_the_drain() {
        let connections = Rc::new(Connections::default());
        let registration = connections.register();
        let waits = std::future::poll_fn(|cx| match registration.poll_draining(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::join!(waits, async { connections.drain() });
        assert!(registration.is_draining());
    }

    #[test]
    fn leaving_frees_the_place() {
        let connections = Rc::new(Connections::default());
        let registration = connections.register();
        assert_eq!(connections.count(), 1);
        drop(registration);
        assert_eq!(connections.count(), 0);
    }
}
