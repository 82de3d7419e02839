//! Deliveries come twice and in any order; the broker, the database or all processes at once go
//! away in the midst of orders. Nothing is lost, and nothing is applied twice.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use shop_platform::{Broker, Event, broker::Published};
use shop_proofs::{
    Audit, Crowd, Engines, Evidence, PATIENCE, Recorded, Service, World, everything, seed,
};
use tokio::sync::Mutex;

const CUSTOMERS: u64 = 4;
/// How often something goes away.
const OUTAGES: usize = 3;
/// Orders that end between two outages.
const ENDS: u64 = 5;
/// Where orders go on without what is away, so many end meanwhile; or this time passes.
const LONGEST_OUTAGE: Duration = Duration::from_secs(2);

static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_come_twice_and_in_any_order_by_the_log() {
    Box::pin(deliver_again(Engines::Embedded)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_come_twice_and_in_any_order_by_nats() {
    Box::pin(deliver_again(Engines::Servers)).await;
}

async fn deliver_again(engines: Engines) {
    let _turn = TURN.lock().await;
    let Some(world) = World::start(engines).await else { return };
    for round in 0..3 {
        everything(&world, &format!("round-{round}")).await;
    }
    world.quiet(PATIENCE).await;
    Audit::must_pass(&world).await;
    let (right, mut events) = (Evidence::gather(&world).await, world.events().await);
    assert_eq!(events.len(), right.events.len(), "each event was published once");

    // The broker knows them by their ids.
    events.reverse();
    publish_again(&world, &events).await;
    world.quiet(PATIENCE).await;
    assert_eq!(Evidence::gather(&world).await, right);

    // And if it does not, the receivers do.
    world.deliver_again(&events).await;
    Rng::with_seed(seed()).shuffle(&mut events);
    world.deliver_again(&events).await;
    world.quiet(PATIENCE).await;
    assert_eq!(world.events().await.len(), 3 * events.len(), "they were delivered again");
    assert_eq!(Evidence::gather(&world).await, right);

    // And all goes on.
    everything(&world, "afterwards").await;
    world.quiet(PATIENCE).await;
    Audit::must_pass(&world).await;
}

async fn publish_again(world: &World, events: &[Recorded]) {
    let broker = Broker::open(&world.broker_url()).await.unwrap();
    for event in events {
        let event = Event::from_json(event.text.as_bytes()).unwrap();
        assert_eq!(broker.publish(&event).await.unwrap(), Published::Known, "{}", event.kind);
    }
    broker.close().await;
}

/// The last comes first: what follows from an order before the order, and that there is such a
/// customer after all that they did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_slept_through_everything_hears_it_backwards() {
    let _turn = TURN.lock().await;
    let world = World::start(Engines::Embedded).await.unwrap();
    // It has subscribed, and so begins where it is now.
    world.quiet(PATIENCE).await;
    world.kill(Service::Notifications).await;
    let mut crowd = Crowd::gather(&world, CUSTOMERS, seed()).await;
    assert!(crowd.more_ends(4 * ENDS, PATIENCE).await);
    crowd.go_home().await;
    world.turn_round(Service::Notifications, PATIENCE).await;
    world.restart(Service::Notifications, None).await;
    world.quiet(PATIENCE).await;
    Audit::must_pass(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_processes_die_at_once_in_the_midst_of_orders() {
    let _turn = TURN.lock().await;
    let world = World::start(Engines::Embedded).await.unwrap();
    let mut crowd = Crowd::gather(&world, CUSTOMERS, seed()).await;
    for _ in 0..OUTAGES {
        assert!(crowd.more_ends(ENDS, PATIENCE).await, "orders do not go on");
        for service in Service::ALL {
            world.kill(service).await;
        }
        world.begin(&BTreeMap::new()).await;
    }
    rest(&world, crowd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_goes_away_in_the_midst_of_orders() {
    let _turn = TURN.lock().await;
    let Some(world) = World::start(Engines::Servers).await else { return };
    let mut crowd = Crowd::gather(&world, CUSTOMERS, seed()).await;
    for _ in 0..OUTAGES {
        assert!(crowd.more_ends(ENDS, PATIENCE).await, "orders do not go on");
        world.kill_broker().await;
        // Customers are not to notice: events wait in the outboxes.
        let noticed = !crowd.more_ends(ENDS, LONGEST_OUTAGE).await;
        println!("the broker was away; did orders stop meanwhile? {noticed}");
        world.start_broker().await;
    }
    rest(&world, crowd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_goes_away_in_the_midst_of_orders() {
    let _turn = TURN.lock().await;
    let Some(world) = World::start(Engines::Servers).await else { return };
    let mut crowd = Crowd::gather(&world, CUSTOMERS, seed()).await;
    for _ in 0..OUTAGES {
        assert!(crowd.more_ends(ENDS, PATIENCE).await, "orders do not go on");
        world.kill_database().await;
        world.start_database().await;
    }
    rest(&world, crowd).await;
}

async fn rest(world: &Arc<World>, mut crowd: Crowd) {
    assert!(crowd.more_ends(ENDS, PATIENCE).await, "orders do not go on");
    let orders = crowd.go_home().await;
    world.quiet(PATIENCE).await;
    println!("{orders} orders have ended");
    Audit::must_pass(world).await;
}
