//! The embedded broker: a durable log in a SQLite file that processes of one machine share.
//!
//! An event is a row with a number. A group is a position in the log, up to which it has taken
//! events over, and a row for each event that was taken over and is not acknowledged yet. Those
//! rows say when the event is due: at the end of its lease, or of its wait after a failure. So a
//! group's state is small however long the log is, and a crash at any point leaves either a row
//! that falls due or a position that was not moved.
//!
//! Writers of this process wake its readers; those of other processes are found by looking, forty
//! times a second at first and five times when nothing comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use super::filter::Filter;
use super::{BrokerError, Policy, Published};
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::database::{Database, Migrations};
use crate::failpoint::Failpoints;

mod receipt;
mod retention;
mod subscription;
mod take;

pub(super) use receipt::LogReceipt;
pub(super) use subscription::LogSubscription;

/// Numbers are never used twice: a position stays true when the events at the end are deleted.
const MIGRATIONS: Migrations = &[(
    "event log",
    "CREATE TABLE events (
         seq INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         kind TEXT NOT NULL,
         body TEXT NOT NULL,
         stored_at BIGINT NOT NULL
     );
     CREATE TABLE consumer_groups (
         name TEXT PRIMARY KEY NOT NULL,
         position BIGINT NOT NULL
     );
     CREATE TABLE deliveries (
         group_name TEXT NOT NULL,
         seq BIGINT NOT NULL,
         attempts BIGINT NOT NULL,
         due_at BIGINT NOT NULL,
         PRIMARY KEY (group_name, seq)
     ) WITHOUT ROWID;
     CREATE INDEX deliveries_by_due_time ON deliveries (group_name, due_at);
     CREATE INDEX deliveries_by_event ON deliveries (seq)",
)];
/// Old events are looked for after so many new ones.
const PUBLISHED_BETWEEN_PRUNINGS: u32 = 256;

#[derive(Debug, Clone)]
pub(super) struct Log {
    database: Database,
    /// Subscriptions of this process that wait for events.
    wake: Arc<Notify>,
    published: Arc<AtomicU32>,
}

impl Log {
    pub(super) async fn open(file: &str) -> Result<Self, BrokerError> {
        let url = if file == ":memory:" { file.to_owned() } else { format!("sqlite:{file}") };
        // What a service commits has its failpoints there; the broker's own steps are inside
        // of `publish`.
        let database = Database::open_with(&url, MIGRATIONS, Failpoints::default())
            .await
            .map_err(BrokerError::Open)?;
        let log = Self { database, wake: Arc::default(), published: Arc::default() };
        retention::prune(&log.database, now(), retention::LIMITS).await?;
        Ok(log)
    }

    pub(super) async fn publish(
        &self,
        id: Uuid,
        kind: &str,
        body: &str,
    ) -> Result<Published, BrokerError> {
        let inserted = sqlx::query(
            "INSERT INTO events (id, kind, body, stored_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(kind)
        .bind(body)
        .bind(millis(now()))
        .execute(self.database.pool())
        .await?
        .rows_affected();
        self.wake.notify_waiters();
        let published = self.published.fetch_add(1, Ordering::Relaxed);
        if published % PUBLISHED_BETWEEN_PRUNINGS == PUBLISHED_BETWEEN_PRUNINGS - 1
            && let Err(error) = retention::prune(&self.database, now(), retention::LIMITS).await
        {
            // The event is kept; the next pruning does this one's work.
            tracing::warn!(%error, "old events could not be deleted");
        }
        Ok(if inserted == 0 { Published::Known } else { Published::New })
    }

    pub(super) async fn subscribe(
        &self,
        group: &str,
        filter: Filter,
        policy: Policy,
    ) -> Result<LogSubscription, BrokerError> {
        sqlx::query(
            "INSERT INTO consumer_groups (name, position) VALUES ($1, 0) \
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(group)
        .execute(self.database.pool())
        .await?;
        Ok(LogSubscription::new(self.clone(), group.to_owned(), filter, policy))
    }

    pub(super) async fn check(&self) -> Result<(), BrokerError> {
        Ok(self.database.check().await?)
    }

    pub(super) async fn close(self) {
        self.database.close().await;
    }
}

/// Processes share the log and with it the machine's clock: leases are kept in its time.
fn now() -> UnixTime {
    SystemClock.now()
}

fn millis(time: UnixTime) -> i64 {
    time.millis().cast_signed()
}

fn after(wait: Duration) -> i64 {
    millis(now().plus(wait))
}
