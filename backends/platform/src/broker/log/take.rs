//! Taking events over for a group: one transaction that leases what is due and moves the position
//! over what is new.

use std::sync::Arc;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Log, LogReceipt, after, millis, now};
use crate::broker::filter::Filter;
use crate::broker::{BrokerError, Policy, dead_letter, dead_rubbish, dead_text};
use crate::database::Transaction;
use crate::event::Event;

/// Events that a subscription holds leased at one time: fetched by one commit instead of many.
const BATCH: usize = 16;
/// New events that one transaction looks at, wanted or not: it holds the log's only write lock.
const SCAN: i64 = 64;
const ABANDONED: &str = "delivered as often as allowed, and never answered";

pub(super) type Taken = Vec<(Event, LogReceipt)>;

/// Whether there is something to take, found without a write lock: what waits at the end of most
/// looks is nothing.
pub(super) async fn is_due(log: &Log, group: &str, policy: Policy) -> Result<bool, BrokerError> {
    let due: i64 = sqlx::query_scalar(
        "SELECT CASE \
         WHEN EXISTS (SELECT 1 FROM deliveries WHERE group_name = $1 AND due_at <= $2) THEN 1 \
         WHEN EXISTS (SELECT 1 FROM events WHERE seq > \
             (SELECT position FROM consumer_groups WHERE name = $1)) \
           AND (SELECT count(*) FROM deliveries WHERE group_name = $1) < $3 THEN 1 \
         ELSE 0 END",
    )
    .bind(group)
    .bind(millis(now()))
    .bind(i64::from(policy.in_flight))
    .fetch_one(log.database.pool())
    .await?;
    Ok(due == 1)
}

pub(super) async fn take(
    log: Log,
    group: Arc<str>,
    filter: Arc<Filter>,
    policy: Policy,
) -> Result<Taken, BrokerError> {
    let mut transaction = log.database.begin_write().await?;
    let mut taking = Taking { log: &log, group: &group, policy, taken: Vec::new() };
    taking.what_is_due(&mut transaction).await?;
    taking.what_is_new(&mut transaction, &filter).await?;
    let taken = taking.taken;
    transaction.commit().await?;
    Ok(taken)
}

struct Taking<'a> {
    log: &'a Log,
    group: &'a Arc<str>,
    policy: Policy,
    taken: Taken,
}

impl Taking<'_> {
    /// Leases that ran out and waits that are over.
    async fn what_is_due(&mut self, transaction: &mut Transaction) -> Result<(), BrokerError> {
        let rows = sqlx::query(
            "SELECT deliveries.seq, attempts, body FROM deliveries \
             JOIN events ON events.seq = deliveries.seq \
             WHERE group_name = $1 AND due_at <= $2 ORDER BY deliveries.seq LIMIT $3",
        )
        .bind(&**self.group)
        .bind(millis(now()))
        .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
        .fetch_all(&mut **transaction)
        .await?;
        for row in rows {
            let (seq, attempts): (i64, i64) = (row.try_get("seq")?, row.try_get("attempts")?);
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            let Some(event) = self.read(transaction, seq, &row).await? else { continue };
            if attempts >= self.policy.attempts {
                // Whoever had it each time did not live to answer.
                let dead = dead_letter(self.group, &event, ABANDONED, attempts);
                bury(transaction, self.group, seq, &dead).await?;
                continue;
            }
            let attempt = attempts + 1;
            sqlx::query(
                "UPDATE deliveries SET attempts = $1, due_at = $2 \
                 WHERE group_name = $3 AND seq = $4",
            )
            .bind(i64::from(attempt))
            .bind(after(self.policy.lease))
            .bind(&**self.group)
            .bind(seq)
            .execute(&mut **transaction)
            .await?;
            self.push(event, seq, attempt);
        }
        Ok(())
    }

    async fn what_is_new(
        &mut self,
        transaction: &mut Transaction,
        filter: &Filter,
    ) -> Result<(), BrokerError> {
        let out: i64 = sqlx::query_scalar("SELECT count(*) FROM deliveries WHERE group_name = $1")
            .bind(&**self.group)
            .fetch_one(&mut **transaction)
            .await?;
        let mut free = i64::from(self.policy.in_flight).saturating_sub(out);
        if free <= 0 || self.taken.len() >= BATCH {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT seq, kind, body FROM events WHERE seq > \
             (SELECT position FROM consumer_groups WHERE name = $1) ORDER BY seq LIMIT $2",
        )
        .bind(&**self.group)
        .bind(SCAN)
        .fetch_all(&mut **transaction)
        .await?;
        let mut position = None;
        for row in rows {
            if free <= 0 || self.taken.len() >= BATCH {
                break;
            }
            let (seq, kind): (i64, String) = (row.try_get("seq")?, row.try_get("kind")?);
            position = Some(seq);
            if !filter.matches(&kind) {
                continue;
            }
            sqlx::query(
                "INSERT INTO deliveries (group_name, seq, attempts, due_at) \
                 VALUES ($1, $2, 1, $3)",
            )
            .bind(&**self.group)
            .bind(seq)
            .bind(after(self.policy.lease))
            .execute(&mut **transaction)
            .await?;
            free -= 1;
            if let Some(event) = self.read(transaction, seq, &row).await? {
                self.push(event, seq, 1);
            }
        }
        if let Some(position) = position {
            sqlx::query("UPDATE consumer_groups SET position = $1 WHERE name = $2")
                .bind(position)
                .bind(&**self.group)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    fn push(&mut self, event: Event, seq: i64, attempt: u32) {
        let (log, group) = (self.log.clone(), Arc::clone(self.group));
        self.taken.push((event, LogReceipt { log, group, seq, attempt }));
    }

    /// The row's event. What cannot be read is with the dead letters when this returns none.
    async fn read(
        &self,
        transaction: &mut Transaction,
        seq: i64,
        row: &AnyRow,
    ) -> Result<Option<Event>, BrokerError> {
        let body: String = row.try_get("body")?;
        match Event::from_json(body.as_bytes()) {
            Ok(event) => Ok(Some(event)),
            Err(error) => {
                let id = seq.to_be_bytes();
                let dead = dead_rubbish(self.group, &id, body.as_bytes(), &error);
                bury(transaction, self.group, seq, &dead).await?;
                Ok(None)
            }
        }
    }
}

/// Puts the dead letter into the log and ends the delivery, both or neither.
pub(super) async fn bury(
    transaction: &mut Transaction,
    group: &str,
    seq: i64,
    dead: &Event,
) -> Result<(), BrokerError> {
    let body = dead_text(dead)?;
    sqlx::query(
        "INSERT INTO events (id, kind, body, stored_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(dead.id.to_string())
    .bind(&dead.kind)
    .bind(body)
    .bind(millis(now()))
    .execute(&mut **transaction)
    .await?;
    sqlx::query("DELETE FROM deliveries WHERE group_name = $1 AND seq = $2")
        .bind(group)
        .bind(seq)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
