//! The letters that wait: taken under a lease, tried, settled.
//!
//! Whoever takes a letter moves its time ahead: that is the lease. A sender that dies leaves it to
//! be taken again, so a letter may go out twice, always under the same id, and is never lost.

use std::time::Duration;

use shop_platform::database::Transaction;
use shop_platform::{Database, UnixTime};
use sqlx::Row;
use uuid::Uuid;

use crate::line::Line;
use crate::mail::Letter;
use crate::messages::{LetterState, time, uuid};

/// How long a taken letter is left alone: longer than a delivery may take, see the sender.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// Tries, over half an hour or more, before a letter is given up.
const LAST_ATTEMPT: i64 = 12;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A letter that this process may try now.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) letter: Letter,
    /// Counts from 1. It also says whose the lease is: a later taker has a higher one.
    attempt: i64,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sent,
    /// Another try may fare better.
    Again,
    /// None will.
    Refused,
}

/// What became of a letter after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Sent,
    Waiting,
    Failed,
}

#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    database: Database,
}

impl Outbox {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Takes up to `limit` letters whose time has come, the longest due first.
    pub(crate) async fn take(&self, now: UnixTime, limit: u32) -> Result<Vec<Taken>, sqlx::Error> {
        // A look first: to find nothing, nobody has to be kept from writing.
        let due: Option<String> = sqlx::query_scalar(
            "SELECT id FROM messages WHERE state = 'pending' AND due_at <= $1 LIMIT 1",
        )
        .bind(now.millis().cast_signed())
        .fetch_optional(self.database.pool())
        .await?;
        if due.is_none() {
            return Ok(Vec::new());
        }
        let mut transaction = self.database.begin_write().await?;
        // The condition stands twice: PostgreSQL waits for another taker's row and then asks the
        // outer one again, with what that taker has written.
        let rows = sqlx::query(
            "UPDATE messages SET due_at = $1, attempts = attempts + 1 WHERE id IN \
             (SELECT id FROM messages WHERE state = 'pending' AND due_at <= $2 \
              ORDER BY due_at, id LIMIT $3) \
             AND state = 'pending' AND due_at <= $2 RETURNING id",
        )
        .bind(now.plus(LEASE).millis().cast_signed())
        .bind(now.millis().cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            taken.push(read(&mut transaction, uuid(&row, "id")?).await?);
        }
        self.database.commit(transaction, "notifications.take").await?;
        Ok(taken)
    }

    /// Writes down how a try ended. Who comes after the lease's end finds the letter taken by
    /// another, and changes nothing.
    pub(crate) async fn settle(
        &self,
        taken: &Taken,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Settled, sqlx::Error> {
        let id = taken.letter.id;
        let (state, settled) = match outcome {
            Outcome::Sent => (LetterState::Sent, Settled::Sent),
            Outcome::Again if taken.attempt < LAST_ATTEMPT => {
                (LetterState::Pending, Settled::Waiting)
            }
            Outcome::Again | Outcome::Refused => (LetterState::Failed, Settled::Failed),
        };
        let mut transaction = self.database.begin_write().await?;
        sqlx::query(
            "UPDATE messages SET state = $1, due_at = $2 \
             WHERE id = $3 AND state = 'pending' AND attempts = $4",
        )
        .bind(state.as_str())
        .bind(now.plus(pause(id, taken.attempt)).millis().cast_signed())
        .bind(id.to_string())
        .bind(taken.attempt)
        .execute(&mut *transaction)
        .await?;
        self.database.commit(transaction, "notifications.settle").await?;
        Ok(settled)
    }
}

async fn read(transaction: &mut Transaction, id: Uuid) -> Result<Taken, sqlx::Error> {
    let row = sqlx::query(
        "SELECT messages.subject AS subject, messages.body AS body, messages.attempts AS attempts, \
         messages.created_at AS created_at, addresses.email AS email, \
         addresses.display_name AS display_name \
         FROM messages JOIN addresses ON addresses.account_id = messages.account_id \
         WHERE messages.id = $1",
    )
    .bind(id.to_string())
    .fetch_one(&mut **transaction)
    .await?;
    let letter = Letter {
        id,
        email: row.try_get("email")?,
        display_name: Line::of(row.try_get("display_name")?),
        subject: Line::of(row.try_get("subject")?),
        body: row.try_get("body")?,
        written_at: time(&row, "created_at")?,
    };
    Ok(Taken { letter, attempt: row.try_get("attempts")? })
}

/// Doubles with each attempt, and up to half as much is added by the letter's id, which is random:
/// letters that failed together do not come back together.
fn pause(id: Uuid, attempt: i64) -> Duration {
    let doublings = u32::try_from(attempt.clamp(1, 20) - 1).unwrap_or(0);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    let part = u32::from(id.as_bytes()[15]);
    pause + pause / 2 * part / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_differ_by_letter() {
        let check = |attempt, low: u64, high: u64| {
            for last in [0, 1, 127, 255] {
                let mut bytes = [7; 16];
                bytes[15] = last;
                let pause = pause(Uuid::from_bytes(bytes), attempt);
                let range = Duration::from_secs(low)..Duration::from_secs(high);
                assert!(range.contains(&pause), "{attempt}: {pause:?}");
            }
        };
        check(0, 1, 2);
        check(1, 1, 2);
        check(2, 2, 3);
        check(5, 16, 24);
        check(11, 600, 900);
        check(i64::MAX, 600, 900);
        let pauses = [0, 255].map(|last| {
            let mut bytes = [7; 16];
            bytes[15] = last;
            pause(Uuid::from_bytes(bytes), 3)
        });
        assert_ne!(pauses[0], pauses[1]);
    }
}
