//! An allocator that counts, for tests that say what something costs.
//!
//! A binary that asks makes [`Counting`] its global allocator, and holds nothing but such tests.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

static ELSEWHERE: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with every request for memory counted.
#[derive(Debug)]
pub struct Counting;

/// What this thread has asked for so far.
pub fn here() -> u64 {
    HERE.with(Cell::get)
}

/// What all threads have asked for so far that were not left out.
pub fn elsewhere() -> u64 {
    ELSEWHERE.load(Ordering::Relaxed)
}

/// Leaves this thread out of [`elsewhere`]: it belongs to the test.
pub fn leave_out() {
    LEFT_OUT.with(|left_out| left_out.set(true));
}

fn count() {
    HERE.with(|count| count.set(count.get() + 1));
    if !LEFT_OUT.with(Cell::get) {
        ELSEWHERE.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged. The counters are constant
// and without destructor, so touching them allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System` through `alloc` or `realloc` above.
        unsafe { System.dealloc(block, layout) }
    }
}
