//! The allocator of the process, and how it gives memory back.

#![allow(unsafe_code, reason = "the allocator is a library of C")]

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Hands back what the calling thread has freed and keeps for its next allocations: a page or two
/// of each size, and those that were found empty only when somebody would have looked.
pub(crate) fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
