//! What the generators of this program share: the core they run on, and what counts as cost.

use std::time::Instant;

use portcullis_testkit::{procfs, slices};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::Slice;
use crate::engines::{GENERATOR_CORE, Running};
use crate::numbers::{as_float, seconds};
use crate::setting::Cores;

/// Runs this on a thread of its own, where it disturbs the engine least, and waits for it.
pub(crate) fn on_generator_core<T: Send>(cores: Cores, work: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        if cores == Cores::Split {
            let mut generator = CpuSet::new();
            generator.set(GENERATOR_CORE);
            // The suite has made sure that there is one.
            let _ = sched_setaffinity(None, &generator);
        }
        // It shares its core with the origin. An old kernel refuses, and its figures are coarser.
        let _ = slices::shorten();
        work()
    };
    let result = std::thread::scope(|scope| scope.spawn(pinned).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a load that has been prepared; its figure is the engine's processor time for each of what
/// was completed, without what the preparation cost it.
pub(super) fn costed(
    engine: &Running,
    work: impl FnOnce() -> anyhow::Result<Completed>,
) -> anyhow::Result<Slice> {
    let processes = engine.processes()?;
    let cpu = || processes.iter().map(|pid| procfs::cpu_nanoseconds(*pid)).sum::<Result<u64, _>>();
    let (start, before) = (Instant::now(), cpu()?);
    let Completed { done, failed } = work()?;
    let cost = seconds(cpu()? - before) * 1e6 / as_float(done.max(1));
    Ok(Slice {
        requests: done,
        seconds: start.elapsed().as_secs_f64(),
        errors: failed,
        figure: Some(cost),
        fell_behind: false,
    })
}

/// What a generator counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Completed {
    pub(super) done: u64,
    pub(super) failed: u64,
}
