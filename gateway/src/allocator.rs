//! The allocator, and the one thing that it is asked besides memory.

/// It keeps what was freed for a while and gives it back when it is called again: a process that
/// refuses requests for want of memory may have plenty that nobody uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives back to the kernel at once what this thread has freed.
#[allow(unsafe_code, reason = "the crate of the allocator shows this under a feature only")]
pub(crate) fn give_back() {
    unsafe extern "C" {
        fn mi_collect(force: bool);
    }
    // SAFETY: the function of the C library that is linked as the allocator, with its signature;
    // any thread may call it at any time, and it leaves alone what is in use.
    unsafe { mi_collect(true) }
}
