//! Generators of load for what wrk and h2load cannot give, and the origins that go with them.
//!
//! Each runs in one thread on the origin's core and does little more than its sockets ask for: it
//! must never be what a run measures. They know an address and nothing of which engine is there.

pub(crate) mod capacity;
pub(crate) mod grpc;
pub(crate) mod handshakes;
pub(crate) mod open;
mod response;
pub(crate) mod websocket;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::engines::GENERATOR_CORE;

/// Runs this on a thread of its own, on the generator's core, and waits for it.
pub(crate) fn on_generator_core<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        pin_to_generator_core();
        work()
    };
    let result = std::thread::scope(|scope| scope.spawn(pinned).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) fn pin_to_generator_core() {
    let mut cores = CpuSet::new();
    cores.set(GENERATOR_CORE);
    // On a machine without that core the comparison itself says so.
    let _ = sched_setaffinity(None, &cores);
}
