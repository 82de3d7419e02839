//! A thousand buyers at once want the last hundred pieces.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use shop_proofs::{
    Audit, Backoffice, Card, Client, Customer, Engines, Evidence, SCARCE, Service, Settings, World,
};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

const PIECES: i64 = 100;
const BUYERS: usize = 1000;
/// Accounts that they share: a password's hash is meant to be slow.
const ACCOUNTS: usize = 20;
/// A service takes a thousand; the rest would wait to be accepted.
const CONNECTIONS: usize = 64;
/// For a thousand sagas and all that is told of them, in a build that is not optimised.
const REST: Duration = Duration::from_secs(600);

static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_a_thousand_get_a_piece_on_sqlite() {
    Box::pin(sell_out(Engines::Embedded)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_a_thousand_get_a_piece_on_postgresql() {
    Box::pin(sell_out(Engines::Servers)).await;
}

async fn sell_out(engines: Engines) {
    let _turn = TURN.lock().await;
    // Nobody shall be sent away for being slow: what decides is the stock alone.
    let settings = Settings {
        call_timeout: Duration::from_secs(5),
        saga_lease: Duration::from_secs(10),
        saga_deadline: REST,
        ..Settings::default()
    };
    let Some(world) = World::start_with(engines, settings).await else { return };
    Backoffice::open(&world).await.supply("last-pieces", SCARCE, PIECES).await;
    let customers = customers(&world).await;
    let counter = Arc::new(Counter::open(&world));

    let begun = Instant::now();
    let mut buyers = JoinSet::new();
    for number in 0..BUYERS {
        let (customer, card) = customers[number % ACCOUNTS].clone();
        let counter = Arc::clone(&counter);
        buyers.spawn(async move { counter.order(&customer, &card, number).await });
    }
    while let Some(placed) = buyers.join_next().await {
        placed.unwrap();
    }
    println!("{BUYERS} orders placed in {:?}", begun.elapsed());
    world.quiet(REST).await;
    println!("all is done in {:?}", begun.elapsed());

    Audit::must_pass(&world).await;
    let evidence = Evidence::gather(&world).await;
    let ended = |state: &str, reason: Option<&str>| {
        let orders = evidence.orders.values();
        orders.filter(|order| order.state == state && order.reason.as_deref() == reason).count()
    };
    assert_eq!(evidence.orders.len(), BUYERS);
    assert_eq!(ended("confirmed", None), usize::try_from(PIECES).unwrap());
    assert_eq!(ended("cancelled", Some("out_of_stock")), BUYERS - usize::try_from(PIECES).unwrap());
}

/// With a card each.
async fn customers(world: &Arc<World>) -> Vec<(Customer, String)> {
    let mut customers = Vec::new();
    for number in 0..ACCOUNTS {
        let mut customer = Customer::register(world, &format!("buyer-{number}")).await;
        let card = customer.add_card(Card::Good).await;
        customers.push((customer, card));
    }
    customers
}

/// Connections to the orders service that all buyers share.
struct Counter {
    free: Semaphore,
    idle: Mutex<Vec<Client>>,
}

impl Counter {
    fn open(world: &World) -> Self {
        let client = world.client(Service::Orders);
        let idle = Mutex::new(vec![client; CONNECTIONS]);
        Self { free: Semaphore::new(CONNECTIONS), idle }
    }

    async fn order(&self, customer: &Customer, card: &str, number: usize) {
        let key = format!("buyer-{number}");
        let request = customer.order(&key, SCARCE, 1, card);
        let _turn = self.free.acquire().await.unwrap();
        let mut client = self.idle.lock().await.pop().unwrap();
        customer.place_by(&mut client, &key, &request).await;
        self.idle.lock().await.push(client);
    }
}
