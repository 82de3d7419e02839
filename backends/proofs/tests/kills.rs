//! Any service may be killed at any time, again and again, while customers order.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::time::{Duration, Instant};

use fastrand::Rng;
use shop_proofs::{Audit, Crowd, Engines, PATIENCE, Service, World, seed};

const KILLS: usize = 200;
const CUSTOMERS: u64 = 8;
/// Between two kills so many orders end at most, or so much time passes.
const MOST_ENDS: u64 = 3;
const LONGEST_PEACE: u64 = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_lose_nothing() {
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let world = World::start(Engines::Embedded).await.unwrap();
    let mut crowd = Crowd::gather(&world, CUSTOMERS, seed).await;
    let begun = Instant::now();
    for _ in 0..KILLS {
        let service = Service::ALL[rng.usize(..Service::ALL.len())];
        world.restart(service, None).await;
        let peace = Duration::from_millis(rng.u64(..LONGEST_PEACE));
        crowd.more_ends(rng.u64(..=MOST_ENDS), peace).await;
    }
    println!("{KILLS} kills in {:?}, {} orders have ended", begun.elapsed(), crowd.ends());
    let orders = crowd.go_home().await;
    world.quiet(PATIENCE).await;
    println!("{orders} orders in the end, after {:?}", begun.elapsed());
    Audit::must_pass(&world).await;
    assert!(orders >= CUSTOMERS, "nobody could order");
}
