//! A process that is killed at each of its steps in turn, and what its successor makes of it: no
//! event is lost, and none is applied twice.
//!
//! The process is this test program once more, started for the one "test" that plays the service.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus::Registry;
use shop_platform::broker::Policy;
use shop_platform::testing::{command, until, within};
use shop_platform::{
    BoxFuture, Broker, Consumer, Database, Event, Handler, HandlerError, Migrations,
    RequestContext, ServerOptions, Service, Transaction, UnixTime, consumer, outbox,
};

const ORDERS: i64 = 3;
const MIGRATIONS: Migrations = &[
    outbox::MIGRATION,
    consumer::MIGRATION,
    (
        "ledger",
        "CREATE TABLE orders (id BIGINT PRIMARY KEY NOT NULL); \
                CREATE TABLE ledger (order_id BIGINT NOT NULL)",
    ),
];
/// Short enough to wait for what a killed process held.
const POLICY: Policy = Policy {
    lease: Duration::from_millis(300),
    attempts: 100,
    first_backoff: Duration::from_millis(1),
    longest_backoff: Duration::from_millis(10),
    in_flight: 100,
};

#[test]
fn nothing_is_lost_and_nothing_is_done_twice() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let undisturbed = directory.path().join("undisturbed");
    assert!(run(&undisturbed, &format!("trace:{}", trace.display())), "no failpoint, no failure");
    let steps = std::fs::read_to_string(&trace).unwrap();
    let steps: BTreeSet<&str> = steps.lines().collect();
    let expected = [
        "before:commit:orders.place",
        "after:commit:orders.place",
        "before:publish:order.placed",
        "after:publish:order.placed",
        "before:commit:consume:ledger:order.placed",
        "after:commit:consume:ledger:order.placed",
    ];
    assert_eq!(steps, BTreeSet::from(expected));
    for (number, step) in steps.into_iter().enumerate() {
        let folder = directory.path().join(number.to_string());
        assert!(!run(&folder, step), "{step} was not reached");
        assert!(run(&folder, ""), "the successor of a process that died at {step} failed");
    }
}

/// Whether the service, in a process of its own, came to the end that it checks.
fn run(folder: &Path, failpoint: &str) -> bool {
    std::fs::create_dir_all(folder).unwrap();
    let status = command(std::env::current_exe().unwrap())
        .args(["--exact", "the_service", "--ignored", "--nocapture"])
        .env("SHOP_FAILPOINT", failpoint)
        .env("TEST_FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status()
        .unwrap();
    assert!(status.success() || status.code().is_none(), "it failed instead of being killed");
    status.success()
}

/// Books each order once.
struct Ledger;

impl Handler for Ledger {
    fn handle<'a>(
        &'a self,
        transaction: &'a mut Transaction,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let order: i64 = event.data()?;
            sqlx::query("INSERT INTO ledger (order_id) VALUES ($1)")
                .bind(order)
                .execute(&mut **transaction)
                .await?;
            Ok(())
        })
    }
}

#[tokio::test]
#[ignore = "the process that the other test starts"]
async fn the_service() {
    let folder = std::env::var("TEST_FOLDER").unwrap();
    let database = Database::open(&format!("sqlite:{folder}/shop.db"), MIGRATIONS).await.unwrap();
    let broker = Broker::open(&format!("log:{folder}/events.db")).await.unwrap();
    let mut service = Service::new("test", Router::new(), database.clone(), Registry::new());
    service.broker = Some(broker);
    service.policy = POLICY;
    let handler = Arc::new(Ledger);
    service.consumers = vec![Consumer { group: "ledger", kinds: &["order.*"], handler }];
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = Box::pin(async { drop(stopped.await) });
    let listen = "127.0.0.1:0".parse().unwrap();
    let bound = service.bind(listen, &ServerOptions::default(), shutdown).await.unwrap();
    let running = tokio::spawn(bound.run);
    for order in 0..ORDERS {
        place(&database, order).await;
    }
    until("every order is booked", async || {
        let rows = sqlx::query_scalar("SELECT order_id FROM ledger ORDER BY order_id");
        let rows: Vec<i64> = rows.fetch_all(database.pool()).await.unwrap();
        // More than once would stay so for ever.
        assert!(rows.iter().collect::<BTreeSet<_>>().len() == rows.len(), "{rows:?}");
        rows == (0..ORDERS).collect::<Vec<_>>()
    })
    .await;
    drop(stop);
    within("the end of the service", running).await.unwrap();
}

/// A customer who sends the order again until it is there.
async fn place(database: &Database, order: i64) {
    let mut transaction = database.begin_write().await.unwrap();
    let new = sqlx::query("INSERT INTO orders (id) VALUES ($1) ON CONFLICT (id) DO NOTHING")
        .bind(order)
        .execute(&mut *transaction)
        .await
        .unwrap()
        .rows_affected();
    if new == 0 {
        return;
    }
    let now = UnixTime::from_seconds(1);
    let event = Event::new("orders", "order.placed", "o", now, order, &RequestContext::begin());
    outbox::add(&mut transaction, &event).await.unwrap();
    database.commit(transaction, "orders.place").await.unwrap();
}
