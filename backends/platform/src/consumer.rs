//! Events coming in: handled once, however often they are delivered.
//!
//! The inbox remembers, in the transaction of the handler's own work, which events a group has
//! handled. A delivery of a known event is acknowledged and nothing else. So a crash before the
//! commit leaves nothing of the work and the event comes again, and a crash after it leaves the
//! work done and the event known.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::clock::UnixTime;
use crate::database::{Database, Transaction};
use crate::event::{Event, EventError};

mod runner;

pub(crate) use runner::Runner;

/// To be listed among a service's migrations.
pub const MIGRATION: (&str, &str) = (
    "inbox",
    "CREATE TABLE inbox (
         consumer_group TEXT NOT NULL,
         event_id TEXT NOT NULL,
         received_at BIGINT NOT NULL,
         PRIMARY KEY (consumer_group, event_id)
     );
     CREATE INDEX inbox_by_age ON inbox (received_at)",
);
/// How long an event is known. Brokers keep events for a week.
const KNOWN_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// What a service does about events.
pub trait Handler: Send + Sync + 'static {
    /// Does the work, within the inbox's transaction: it commits both or neither. Called at most
    /// once for an event that commits; what it does outside of the transaction may be repeated.
    fn handle<'a>(
        &'a self,
        transaction: &'a mut Transaction,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), HandlerError>>;

    /// After the commit, for what needs no durability (a live feed). A crash in between skips it.
    fn committed(&self, event: &Event) {
        let _ = event;
    }
}

/// Why an event was not handled, and with it what becomes of the event.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Again later: at once and for ever if the error passes by itself, else as often as the
    /// broker's policy allows.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Again later: it is not this event's turn yet.
    #[error("not yet: {0}")]
    Later(&'static str),
    /// Never again: to the dead letters.
    #[error("unusable: {0}")]
    Unusable(String),
}

impl From<EventError> for HandlerError {
    fn from(error: EventError) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// Which events a service consumes, as which group, and what it does about them.
#[derive(Clone)]
pub struct Consumer {
    /// Every process of a service is a member of the same group.
    pub group: &'static str,
    /// As [`crate::Broker::subscribe`] takes them: `payment.*`.
    pub kinds: &'static [&'static str],
    pub handler: Arc<dyn Handler>,
}

/// Forgets what is too old to be delivered again.
pub(crate) async fn prune(database: &Database, now: UnixTime) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM inbox WHERE received_at < $1")
        .bind(now.minus(KNOWN_FOR).millis().cast_signed())
        .execute(database.pool())
        .await
        .map(drop)
}

#[cfg(test)]
mod tests;
