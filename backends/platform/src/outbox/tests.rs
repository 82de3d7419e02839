//! The outbox and its relay, with a broker in memory.

use serde_json::json;

use super::*;
use crate::broker::Policy;
use crate::clock::UnixTime;
use crate::request::RequestContext;
use crate::testing::{next_event, within};

const MIGRATIONS: &[(&str, &str)] = &[MIGRATION];

async fn outbox() -> (Database, Broker, Relay) {
    let database = Database::open(":memory:", MIGRATIONS).await.unwrap();
    let broker = Broker::open("log::memory:").await.unwrap();
    let metrics = EventMetrics::try_new(&prometheus::Registry::new()).unwrap();
    let relay = Relay::new(database.clone(), broker.clone(), metrics);
    (database, broker, relay)
}

fn event(number: u64) -> Event {
    let (time, context) = (UnixTime::from_seconds(1), RequestContext::begin());
    Event::new("orders", "order.placed", "o-1", time, json!({"number": number}), &context)
}

async fn add_one(database: &Database, event: &Event) {
    let mut transaction = database.begin_write().await.unwrap();
    add(&mut transaction, event).await.unwrap();
    database.commit(transaction, "test").await.unwrap();
}

async fn waiting(database: &Database) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(database.pool()).await.unwrap()
}

#[tokio::test]
async fn what_is_committed_is_published_in_order_and_forgotten() {
    let (database, broker, relay) = outbox().await;
    let events: Vec<Event> = (0..150).map(event).collect();
    let mut rolled_back = database.begin_write().await.unwrap();
    add(&mut rolled_back, &event(1000)).await.unwrap();
    drop(rolled_back);
    for event in &events {
        add_one(&database, event).await;
    }
    relay.send_all().await.unwrap();
    assert_eq!(waiting(&database).await, 0);
    assert_eq!(relay.metrics.published.get(), 150);
    let mut orders = broker.subscribe("mail", &["order.*"], Policy::default()).await.unwrap();
    for sent in &events {
        let delivery = next_event(&mut orders).await;
        assert_eq!(delivery.event.id, sent.id);
        assert_eq!(delivery.event.context.request_id(), sent.context.request_id());
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn an_event_published_before_a_crash_is_not_there_twice() {
    let (database, broker, relay) = outbox().await;
    let first = event(1);
    add_one(&database, &first).await;
    // What a process leaves that dies between the publication and the deletion.
    broker.publish(&first).await.unwrap();
    add_one(&database, &event(2)).await;
    relay.send_all().await.unwrap();
    let mut orders = broker.subscribe("mail", &["order.*"], Policy::default()).await.unwrap();
    for number in 1..=2 {
        let delivery = next_event(&mut orders).await;
        assert_eq!(delivery.event.data["number"], number);
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn the_relay_is_woken_by_a_commit_and_stops_when_told() {
    let (database, broker, relay) = outbox().await;
    let (stop, stopping) = watch::channel(false);
    let relay = tokio::spawn(relay.run(stopping));
    let mut orders = broker.subscribe("mail", &["order.*"], Policy::default()).await.unwrap();
    add_one(&database, &event(7)).await;
    assert_eq!(next_event(&mut orders).await.event.data["number"], 7);
    stop.send_replace(true);
    let relay = within("the end of the relay", relay).await.unwrap();
    // The last ones, after the stop.
    add_one(&database, &event(8)).await;
    relay.send_all().await.unwrap();
    assert_eq!(next_event(&mut orders).await.event.data["number"], 8);
}

#[tokio::test]
async fn an_event_that_no_broker_takes_is_refused_before_the_commit() {
    let (database, _, _) = outbox().await;
    let mut large = event(1);
    large.data = json!("x".repeat(crate::event::SIZE_LIMIT));
    let mut transaction = database.begin_write().await.unwrap();
    let refused = add(&mut transaction, &large).await.unwrap_err();
    assert!(refused.to_string().contains("bytes"), "{refused}");
}
