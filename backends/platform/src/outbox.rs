//! Events on their way out: written in the transaction that made them true, published after.
//!
//! So there is no event of what did not happen, and what happened is told, however often the
//! process dies in between. An event that was published when the process died is published again,
//! under the id that its broker and its receivers know it by.

use std::time::Duration;

use sqlx::Row;
use tokio::sync::watch;

use crate::broker::{Broker, BrokerError};
use crate::database::{Database, Transaction};
use crate::event::{Event, EventError};
use crate::failpoint::Kind;
use crate::metrics::EventMetrics;
use crate::server::stopped;

/// To be listed among a service's migrations.
pub const MIGRATION: (&str, &str) = (
    "outbox",
    "CREATE TABLE outbox (
         id TEXT PRIMARY KEY NOT NULL,
         kind TEXT NOT NULL,
         event TEXT NOT NULL
     )",
);

/// Events read, published and then deleted together.
const BATCH: i64 = 64;
/// How often to look for events of other processes at the same database, left behind by their end.
const POLL: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Sends `event` if and only if `transaction` commits.
pub async fn add(transaction: &mut Transaction, event: &Event) -> Result<(), sqlx::Error> {
    let text = event.to_json().map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("INSERT INTO outbox (id, kind, event) VALUES ($1, $2, $3)")
        .bind(event.id.to_string())
        .bind(&event.kind)
        .bind(text)
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// Carries a service's events from its outbox to the broker, in the order of their ids.
pub(crate) struct Relay {
    database: Database,
    broker: Broker,
    metrics: EventMetrics,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("the outbox cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("an event in the outbox cannot be read: {0}")]
    Event(#[from] EventError),
}

impl Relay {
    pub(crate) fn new(database: Database, broker: Broker, metrics: EventMetrics) -> Self {
        Self { database, broker, metrics }
    }

    /// Relays until it is told to stop. What fails is tried again, for ever: nothing overtakes it.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) -> Self {
        let mut pause = FIRST_PAUSE;
        while !*stop.borrow() {
            match self.send_all().await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "events wait in the outbox");
                    self.metrics.relay_failures.inc();
                    drop(tokio::time::timeout(pause, stopped(&mut stop)).await);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = self.database.committed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        self
    }

    /// Publishes what is in the outbox now, and what comes in meanwhile.
    pub(crate) async fn send_all(&self) -> Result<(), RelayError> {
        while self.send_batch().await? {}
        Ok(())
    }

    /// Whether there may be more.
    async fn send_batch(&self) -> Result<bool, RelayError> {
        let rows = sqlx::query("SELECT id, kind, event FROM outbox ORDER BY id LIMIT $1")
            .bind(BATCH)
            .fetch_all(self.database.pool())
            .await?;
        let mut sent: Vec<String> = Vec::with_capacity(rows.len());
        let mut result = Ok(());
        for row in &rows {
            let (id, text): (String, String) = (row.try_get("id")?, row.try_get("event")?);
            if let Err(error) = self.send(&text).await {
                result = Err(error);
                break;
            }
            sent.push(id);
        }
        // One by one within one commit: an id that is smaller than these may come in meanwhile.
        self.forget(&sent).await?;
        result?;
        Ok(rows.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX))
    }

    async fn send(&self, text: &str) -> Result<(), RelayError> {
        let event = Event::from_json(text.as_bytes())?;
        let failpoints = self.database.failpoints();
        failpoints.before(Kind::Publish, &event.kind);
        let published = self.broker.publish(&event).await?;
        failpoints.after(Kind::Publish, &event.kind);
        self.metrics.published.inc();
        tracing::debug!(
            event_id = %event.id,
            kind = event.kind,
            request_id = event.context.request_id(),
            traceparent = event.context.traceparent(),
            ?published,
            "an event is published"
        );
        Ok(())
    }

    async fn forget(&self, ids: &[String]) -> Result<(), sqlx::Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin_write().await?;
        for id in ids {
            sqlx::query("DELETE FROM outbox WHERE id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }
}

#[cfg(test)]
mod tests;
