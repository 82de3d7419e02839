//! How long events are kept: until every group has acknowledged them and a day more, so that a new
//! group finds something to begin with; and never more than a bound, whoever has not read them.

use std::time::Duration;

use sqlx::Row;

use super::millis;
use crate::broker::BrokerError;
use crate::clock::UnixTime;
use crate::database::Database;

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long an event stays that nobody waits for.
    pub(super) age: Duration,
    /// Events kept at most: some GiB.
    pub(super) events: i64,
    /// Rows deleted by one statement, which holds the write lock.
    pub(super) step: i64,
}

pub(super) const LIMITS: Limits =
    Limits { age: Duration::from_secs(24 * 3600), events: 1_000_000, step: 1000 };

pub(super) async fn prune(
    database: &Database,
    now: UnixTime,
    limits: Limits,
) -> Result<(), BrokerError> {
    let mut transaction = database.begin_write().await?;
    // Up to where everybody is done: before the oldest open delivery, or at the position. Without
    // a group nobody is.
    let row = sqlx::query(
        "SELECT COALESCE((SELECT max(seq) FROM events), 0) AS newest, \
         COALESCE((SELECT min(COALESCE( \
             (SELECT min(seq) - 1 FROM deliveries WHERE group_name = name), position)) \
             FROM consumer_groups), 0) AS done",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let (newest, done): (i64, i64) = (row.try_get("newest")?, row.try_get("done")?);
    sqlx::query(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events \
         WHERE seq <= $1 AND stored_at < $2 ORDER BY seq LIMIT $3)",
    )
    .bind(done)
    .bind(millis(now.minus(limits.age)))
    .bind(limits.step)
    .execute(&mut *transaction)
    .await?;
    let bound = newest.saturating_sub(limits.events);
    let cut = sqlx::query(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events \
         WHERE seq <= $1 ORDER BY seq LIMIT $2)",
    )
    .bind(bound)
    .bind(limits.step)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if cut > 0 {
        sqlx::query(
            "DELETE FROM deliveries WHERE seq NOT IN (SELECT seq FROM events) AND seq <= $1",
        )
        .bind(bound)
        .execute(&mut *transaction)
        .await?;
        tracing::warn!(events = cut, "the event log is full: its oldest events are deleted");
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
