//! Consumers over a database and a broker in memory.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::broker::{Broker, Policy};
use crate::clock::SystemClock;
use crate::metrics::EventMetrics;
use crate::request::RequestContext;
use crate::testing::{next_event, within};

const NOTES: (&str, &str) = ("notes", "CREATE TABLE notes (event_id TEXT NOT NULL)");
const MIGRATIONS: &[(&str, &str)] = &[MIGRATION, NOTES];
const QUICK: Policy = Policy {
    lease: Duration::from_secs(5),
    attempts: 3,
    first_backoff: Duration::from_millis(1),
    longest_backoff: Duration::from_millis(2),
    in_flight: 100,
};

/// Writes a row for each event, and does as the event says.
struct Notes {
    tries: AtomicU32,
    done: mpsc::UnboundedSender<String>,
    once: Mutex<HashSet<String>>,
}

impl Notes {
    fn first_time(&self, event: &Event) -> bool {
        self.once.lock().unwrap().insert(event.id.to_string())
    }
}

impl Handler for Notes {
    fn handle<'a>(
        &'a self,
        transaction: &'a mut Transaction,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.tries.fetch_add(1, Ordering::Relaxed);
            sqlx::query("INSERT INTO notes VALUES ($1)")
                .bind(event.id.to_string())
                .execute(&mut **transaction)
                .await?;
            match event.data["do"].as_str() {
                Some("panic") if self.first_time(event) => panic!("as told"),
                Some("later") if self.first_time(event) => Err(HandlerError::Later("as told")),
                Some("lose the database") if self.first_time(event) => {
                    Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()).into())
                }
                Some("fail always") => Err(HandlerError::Database(sqlx::Error::RowNotFound)),
                Some("be unusable") => Err(HandlerError::Unusable("as told".to_owned())),
                _ => Ok(()),
            }
        })
    }

    fn committed(&self, event: &Event) {
        self.done.send(event.id.to_string()).unwrap();
    }
}

struct Running {
    database: Database,
    broker: Broker,
    notes: Arc<Notes>,
    done: mpsc::UnboundedReceiver<String>,
    stop: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<()>,
}

async fn running() -> Running {
    let database = Database::open(":memory:", MIGRATIONS).await.unwrap();
    let broker = Broker::open("log::memory:").await.unwrap();
    let (done_sender, done) = mpsc::unbounded_channel();
    let (tries, once) = (AtomicU32::new(0), Mutex::default());
    let notes = Arc::new(Notes { tries, done: done_sender, once });
    let (stop, stopping) = watch::channel(false);
    let handler = Arc::clone(&notes) as Arc<dyn Handler>;
    let runner = Runner {
        consumer: Consumer { group: "mail", kinds: &["order.*"], handler },
        database: database.clone(),
        broker: broker.clone(),
        policy: QUICK,
        clock: Arc::new(SystemClock),
        metrics: EventMetrics::try_new(&prometheus::Registry::new()).unwrap(),
        stop: stopping,
    };
    let ended = tokio::spawn(runner.run());
    Running { database, broker, notes, done, stop, ended }
}

impl Running {
    async fn publish(&self, what: &str) -> Event {
        let (time, context) = (UnixTime::from_seconds(1), RequestContext::begin());
        let event =
            Event::new("orders", "order.placed", "o-1", time, json!({"do": what}), &context);
        self.broker.publish(&event).await.unwrap();
        event
    }

    async fn rows(&self, table: &'static str) -> i64 {
        let sql = match table {
            "inbox" => "SELECT count(*) FROM inbox",
            _ => "SELECT count(*) FROM notes",
        };
        sqlx::query_scalar(sql).fetch_one(self.database.pool()).await.unwrap()
    }

    fn tries(&self) -> u32 {
        self.notes.tries.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn an_event_is_handled_once_however_often_it_is_delivered() {
    let mut shop = running().await;
    let event = shop.publish("").await;
    assert_eq!(
        within("the commit of an event", shop.done.recv()).await.unwrap(),
        event.id.to_string()
    );
    // Another broker, or the same one after it forgot: the same event comes again.
    let mut again = event.clone();
    again.subject = "seen by the broker as another".to_owned();
    shop.stop.send_replace(true);
    within("the end of the consumer", shop.ended).await.unwrap();
    let work = |database: &Database, notes: &Arc<Notes>| {
        let (handler, database) = (Arc::clone(notes) as Arc<dyn Handler>, database.clone());
        runner::work_for_tests(handler, "mail", database, again.clone())
    };
    work(&shop.database, &shop.notes).await.unwrap();
    work(&shop.database, &shop.notes).await.unwrap();
    assert_eq!((shop.notes.tries.load(Ordering::Relaxed), shop.done.len()), (1, 0));
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM notes")
        .fetch_one(shop.database.pool())
        .await
        .unwrap();
    assert_eq!(notes, 1);
}

#[tokio::test]
async fn what_fails_comes_again_and_leaves_nothing_of_its_first_try() {
    for what in ["panic", "later", "lose the database"] {
        let mut shop = running().await;
        let event = shop.publish(what).await;
        assert_eq!(
            within("the commit of an event", shop.done.recv()).await.unwrap(),
            event.id.to_string(),
            "{what}"
        );
        assert_eq!(shop.tries(), 2, "{what}");
        assert_eq!((shop.rows("notes").await, shop.rows("inbox").await), (1, 1), "{what}");
    }
}

#[tokio::test]
async fn what_cannot_be_handled_goes_to_the_dead_letters_and_the_next_is_handled() {
    let mut shop = running().await;
    let mut dead = shop.broker.subscribe("staff", &["dead.mail"], QUICK).await.unwrap();
    for (what, tries) in [("be unusable", 1), ("fail always", 3)] {
        let before = shop.tries();
        let event = shop.publish(what).await;
        let letter = next_event(&mut dead).await;
        assert_eq!(letter.event.data["event"]["id"], event.id.to_string(), "{what}");
        assert_eq!(letter.event.context.request_id(), event.context.request_id());
        letter.ack().await.unwrap();
        assert_eq!(shop.tries() - before, tries, "{what}");
    }
    let event = shop.publish("").await;
    assert_eq!(
        within("the commit of an event", shop.done.recv()).await.unwrap(),
        event.id.to_string()
    );
    assert_eq!((shop.rows("notes").await, shop.rows("inbox").await), (1, 1));
}

#[tokio::test]
async fn the_inbox_forgets_what_is_two_weeks_old() {
    let mut shop = running().await;
    shop.publish("").await;
    within("the commit of an event", shop.done.recv()).await.unwrap();
    let now = crate::clock::Clock::now(&SystemClock);
    let days = |days: u64| now.plus(Duration::from_secs(days * 24 * 3600));
    prune(&shop.database, days(13)).await.unwrap();
    assert_eq!(shop.rows("inbox").await, 1);
    prune(&shop.database, days(15)).await.unwrap();
    assert_eq!(shop.rows("inbox").await, 0);
}
