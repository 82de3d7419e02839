//! Retention, with limits and times of the test's own.

use super::*;
use crate::broker::filter::Filter;
use crate::broker::log::{Log, now};
use crate::broker::{Policy, dead_letter};
use crate::event::Event;
use crate::request::RequestContext;

const SOON: Limits = Limits { age: Duration::from_secs(60), events: 1000, step: 1000 };

async fn publish(log: &Log, count: usize) {
    for _ in 0..count {
        let context = RequestContext::begin();
        let event = Event::new("orders", "order.placed", "o-1", now(), 0, &context);
        log.publish(event.id, &event.kind, &event.to_json().unwrap()).await.unwrap();
    }
}

async fn kept(log: &Log) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM events");
    count.fetch_one(log.database.pool()).await.unwrap()
}

async fn prune_later(log: &Log, later: Duration, limits: Limits) -> i64 {
    prune(&log.database, now().plus(later), limits).await.unwrap();
    kept(log).await
}

#[tokio::test]
async fn an_old_event_goes_when_every_group_has_acknowledged_it() {
    let log = Log::open(":memory:").await.unwrap();
    let later = Duration::from_secs(120);
    publish(&log, 3).await;
    assert_eq!(prune_later(&log, later, SOON).await, 3, "nobody has read it");
    let filter = Filter::try_new(&["order.*"]).unwrap();
    let mut mail = log.subscribe("mail", filter.clone(), Policy::default()).await.unwrap();
    let mut bills = log.subscribe("bills", filter, Policy::default()).await.unwrap();
    for _ in 0..3 {
        mail.next().await.unwrap().1.ack().await.unwrap();
    }
    assert_eq!(prune_later(&log, later, SOON).await, 3, "one group has not read it");
    bills.next().await.unwrap().1.ack().await.unwrap();
    let (_, open) = bills.next().await.unwrap();
    bills.next().await.unwrap().1.ack().await.unwrap();
    assert_eq!(prune_later(&log, later, SOON).await, 2, "the second is open");
    open.ack().await.unwrap();
    assert_eq!(prune_later(&log, Duration::ZERO, SOON).await, 2, "they are young");
    assert_eq!(prune_later(&log, later, SOON).await, 0);
    // Numbers go on: a position never points behind what comes.
    publish(&log, 1).await;
    mail.next().await.unwrap();
}

#[tokio::test]
async fn no_more_than_the_bound_is_kept_whoever_waits() {
    let log = Log::open(":memory:").await.unwrap();
    let filter = Filter::try_new(&["order.*"]).unwrap();
    let mut mail = log.subscribe("mail", filter, Policy::default()).await.unwrap();
    publish(&log, 10).await;
    let (event, stale) = mail.next().await.unwrap();
    let full = Limits { events: 4, ..SOON };
    assert_eq!(prune_later(&log, Duration::ZERO, full).await, 4);
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM deliveries")
        .fetch_one(log.database.pool())
        .await
        .unwrap();
    assert_eq!(open, 4, "deliveries of what is gone are gone");
    // Answers to what is gone do no harm.
    stale.extend(Duration::from_secs(1)).await.unwrap();
    assert_eq!(dead_letter("mail", &event, "", 1).kind, "dead.mail");
    stale.ack().await.unwrap();
}
