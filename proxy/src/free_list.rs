//! A free list: unused objects of one worker, kept for reuse.
//!
//! The list keeps as many as were needed recently and drops the others step by step, so that memory
//! follows the load. It knows nothing about the objects.

use std::cell::{Cell, RefCell};

#[derive(Debug)]
pub(crate) struct FreeList<T> {
    free: RefCell<Vec<T>>,
    /// The most that are kept.
    most: usize,
    /// The fewest free objects since the last trim: this many were not needed.
    spare: Cell<usize>,
}

impl<T> FreeList<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { free: RefCell::default(), most, spare: Cell::new(0) }
    }

    pub(crate) fn take(&self) -> Option<T> {
        let mut free = self.free.borrow_mut();
        let taken = free.pop();
        self.spare.set(self.spare.get().min(free.len()));
        taken
    }

    /// Keeps the object, unless the list is full.
    pub(crate) fn put(&self, thing: T) {
        let mut free = self.free.borrow_mut();
        if free.len() < self.most {
            free.push(thing);
        }
    }

    /// Drops half of what was not needed since the last call, and returns how many. Call it a few
    /// times a second: an unused list is empty within seconds.
    pub(crate) fn trim(&self) -> usize {
        let mut free = self.free.borrow_mut();
        let unneeded = self.spare.get().min(free.len()).div_ceil(2);
        let kept = free.len() - unneeded;
        free.truncate(kept);
        free.shrink_to(kept);
        self.spare.set(kept);
        unneeded
    }

    /// Drops all of them.
    pub(crate) fn clear(&self) {
        *self.free.borrow_mut() = Vec::new();
        self.spare.set(0);
    }

    pub(crate) fn len(&self) -> usize {
        self.free.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_a_bounded_number() {
        let free_list = FreeList::new(3);
        (0..5).for_each(|thing| free_list.put(thing));
        assert_eq!((free_list.len(), free_list.take()), (3, Some(2)));
    }

    #[test]
    fn what_is_not_needed_is_dropped() {
        let free_list = FreeList::new(100);
        (0..40).for_each(|thing| free_list.put(thing));
        assert_eq!(free_list.trim(), 0, "all were needed since the start");
        let ten: Vec<_> = (0..10).filter_map(|_| free_list.take()).collect();
        ten.into_iter().for_each(|thing| free_list.put(thing));
        assert_eq!((free_list.trim(), free_list.len()), (15, 25));
        for _ in 0..10 {
            free_list.trim();
        }
        assert_eq!((free_list.len(), free_list.take()), (0, None));
    }
}
