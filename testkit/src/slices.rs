//! How long a thread goes on while another waits for its processor.

#![allow(unsafe_code, reason = "sched_setattr has no safe wrapper among our libraries")]

use std::io;

/// The kernel's least.
const SLICE_NANOS: u64 = 100_000;

/// The calling thread goes on for a tenth of a millisecond at most while others wait, and waits
/// as shortly for its turn. The kernel's own measure is some 3 ms, which is what a thread that
/// takes times would then find instead of what it looks for. Kernels before 6.12 know no slices.
pub fn shorten() -> io::Result<()> {
    // SAFETY: it is a struct of numbers, of which all zeroes are one.
    let mut wanted: libc::sched_attr = unsafe { std::mem::zeroed() };
    wanted.size = u32::try_from(std::mem::size_of::<libc::sched_attr>()).unwrap_or_default();
    wanted.sched_policy = libc::SCHED_OTHER.cast_unsigned();
    wanted.sched_runtime = SLICE_NANOS;
    let (this_thread, no_flags) = (0, 0);
    // SAFETY: the pointer is to a struct that says its own size and outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const wanted, no_flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
