//! How many streams of a connection are being handled, and who waits for the last of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// The streams that are being handled.
#[derive(Default)]
pub(super) struct Streams {
    count: Cell<u32>,
    /// One of them was reset because the client took nothing of it.
    pub(super) stood_still: Cell<bool>,
    /// The task that waits for the last stream. The library does not wake it for a stream that ends
    /// while nothing can be written, and then no deadline would be checked.
    waiting: RefCell<Option<Waker>>,
}

impl Streams {
    /// Whether there are any; if so, the task is woken when the last one ends.
    pub(super) fn any(&self, cx: &Context<'_>) -> bool {
        let any = self.count.get() > 0;
        if any {
            let mut waiting = self.waiting.borrow_mut();
            match &mut *waiting {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waiting = Some(cx.waker().clone()),
            }
        }
        any
    }
}

/// Counts a stream until its task has ended.
pub(super) struct OpenStream(pub(super) Rc<Streams>);

impl OpenStream {
    pub(super) fn begin(streams: &Rc<Streams>) -> Self {
        streams.count.set(streams.count.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if left == 0
            && let Some(waker) = self.0.waiting.take()
        {
            waker.wake();
        }
    }
}
