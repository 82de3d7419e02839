//! What a service costs before it has done anything: the time from its start to the first `ready`,
//! and the memory that it holds at rest.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portcullis_testkit::patience::rest;
use portcullis_testkit::procfs;
use shop_proofs::{Deadline, Engines, PATIENCE, Request, Service, Settings, World};

/// With nothing there: the database is made, the catalogue filled, the first key generated.
const START_LIMIT: Duration = Duration::from_millis(300);
/// A build with debug assertions is not optimised: it has three times the time. The figure above
/// is asserted of release builds alone.
const START_LIMIT_UNOPTIMISED: Duration = Duration::from_millis(900);
/// Of any build.
const MEMORY_LIMIT: u64 = 40 * 1024 * 1024;
/// From being ready to being at rest: what only the start needed is given back by then, if the
/// machine is not busy.
const UNTIL_REST: Duration = Duration::from_secs(3);
/// Starts of each kind; the best counts, since other work on the machine only adds.
const STARTS: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Cost {
    cold: Duration,
    /// With its data there.
    again: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_start_fast_and_stay_small() {
    let limit = if cfg!(debug_assertions) { START_LIMIT_UNOPTIMISED } else { START_LIMIT };
    let mut wrong = Vec::new();
    let mut memory = BTreeMap::from(memory_at_rest().await);
    for service in Service::ALL {
        let mut best = cost(service).await;
        for _ in 1..STARTS {
            let next = cost(service).await;
            best.cold = best.cold.min(next.cold);
            best.again = best.again.min(next.again);
        }
        let Cost { cold, again } = best;
        let memory = memory.remove(&service).unwrap();
        println!("{service}: ready in {cold:?} cold, {again:?} again; {} KiB", memory / 1024);
        if cold > limit || again > limit {
            wrong.push(format!("{service} is ready in {cold:?} and {again:?}, not in {limit:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The service alone, in a place of its own.
async fn cost(service: Service) -> Cost {
    let world = World::prepare(Engines::Embedded, Settings::default()).await.unwrap();
    let cold = start(&world, service).await;
    let again = start(&world, service).await;
    Cost { cold, again }
}

/// Of each service, with the others beside it.
async fn memory_at_rest() -> [(Service, u64); 5] {
    let world = World::start(Engines::Embedded).await.unwrap();
    rest(UNTIL_REST).await;
    let mut held = Vec::new();
    for service in Service::ALL {
        let id = world.process_id(service).await.unwrap();
        let deadline = Deadline::new(format!("{service} at {MEMORY_LIMIT} bytes"), PATIENCE);
        let bytes = loop {
            let bytes = procfs::resident_bytes(id).unwrap();
            if bytes <= MEMORY_LIMIT {
                break bytes;
            }
            deadline.check(&bytes);
            deadline.pause().await;
        };
        held.push((service, bytes));
    }
    held.try_into().unwrap()
}

/// How long the service takes to be ready. The time for which it or this test would have run and was
/// given no core is other work's.
async fn start(world: &World, service: Service) -> Duration {
    world.kill(service).await;
    let mut client = world.client(service);
    let deadline = Deadline::new(format!("{service} is ready"), PATIENCE);
    let here = std::process::id();
    let (begun, waited_here) = (Instant::now(), without_a_core(here));
    world.restart(service, None).await;
    loop {
        let asked = client.try_send(&Request::get("/readyz")).await;
        if asked.as_ref().is_ok_and(|answer| answer.status == 200) {
            let took = begun.elapsed();
            let waited_here = without_a_core(here).saturating_sub(waited_here);
            let id = world.process_id(service).await.unwrap();
            return took.saturating_sub(waited_here + without_a_core(id));
        }
        deadline.check(&asked);
        tokio::task::yield_now().await;
    }
}

/// For how long the threads of a process were ready to run and waited for a core, summed up.
fn without_a_core(id: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let waited = threads.filter_map(|thread| {
        let figures = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        figures.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waited.sum())
}
