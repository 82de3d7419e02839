//! Ties a child's life to the demo's: the one thing that needs the space between fork and exec.
#![allow(unsafe_code, reason = "pre_exec is unsafe: what it runs must be safe after a fork")]

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::process::Command;

/// The kernel ends the child when the demo dies, even when it is killed and can do nothing.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes
    // one system call (prctl) and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}
