//! The sagas in the database: which step is next, when, and who is at it.
//!
//! A saga is taken for a while, by a lease that is new each time. Its holder alone moves it on; when
//! the holder dies, the lease runs out and somebody else takes the saga, be it in another process.
//! Whoever changes an order that has a saga touches the saga's row first: then two of them never
//! wait for each other.

use std::time::Duration;

use serde::Serialize;
use shop_platform::UnixTime;
use shop_platform::database::Transaction;
use shop_platform::request::RequestContext;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::order::Reason;
use crate::saga::{Direction, Step};

/// A saga that is ours for a while.
#[derive(Debug, Clone)]
pub(crate) struct Leased {
    pub(crate) order_id: Uuid,
    pub(crate) step: Step,
    /// How often the step was begun, this time included.
    pub(crate) attempts: u32,
    pub(crate) deadline_at: UnixTime,
    pub(crate) started_at: UnixTime,
    /// The request that began it.
    pub(crate) context: RequestContext,
    lease: String,
}

/// Begins the saga of an order; `false` if it has one.
pub(crate) async fn start(
    transaction: &mut Transaction,
    order_id: Uuid,
    step: Step,
    now: UnixTime,
    limit: Duration,
    context: &RequestContext,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO sagas (order_id, direction, step, attempts, due_at, deadline_at, \
         lease_owner, lease_until, reason, started_at, request_id, traceparent) \
         VALUES ($1, $2, $3, 0, $4, $5, '', 0, NULL, $6, $7, $8) \
         ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(order_id.to_string())
    .bind(step.direction().as_str())
    .bind(step.as_str())
    .bind(now.millis().cast_signed())
    .bind(now.plus(limit).millis().cast_signed())
    .bind(now.millis().cast_signed())
    .bind(context.request_id())
    .bind(context.traceparent())
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Holds the row of an order's saga until the transaction ends; `false` if there is none.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    order_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query("UPDATE sagas SET due_at = due_at WHERE order_id = $1")
        .bind(order_id.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(locked.rows_affected() == 1)
}

/// Makes an order's saga due, whatever it waits for.
pub(crate) async fn wake(
    transaction: &mut Transaction,
    order_id: Uuid,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let woken = sqlx::query("UPDATE sagas SET due_at = $1 WHERE order_id = $2 AND due_at > $1")
        .bind(now.millis().cast_signed())
        .bind(order_id.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(woken.rows_affected() == 1)
}

/// Whether [`take`] would find something. A read: asking often costs little.
pub(crate) async fn is_any_due(
    connection: &mut AnyConnection,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT due_at FROM sagas WHERE due_at <= $1 AND lease_until <= $1 LIMIT 1",
    )
    .bind(now.millis().cast_signed())
    .fetch_optional(connection)
    .await?;
    Ok(due.is_some())
}

/// Takes up to `limit` sagas that are due and that nobody holds, those first that waited longest.
pub(crate) async fn take(
    transaction: &mut Transaction,
    now: UnixTime,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Leased>, sqlx::Error> {
    let mut due: Vec<String> = sqlx::query_scalar(
        "SELECT order_id FROM sagas WHERE due_at <= $1 AND lease_until <= $1 \
         ORDER BY due_at, order_id LIMIT $2",
    )
    .bind(now.millis().cast_signed())
    .bind(limit)
    .fetch_all(&mut **transaction)
    .await?;
    // Two that choose at once take the rows in the same order: neither waits for the other while
    // the other waits for it. Whoever comes second sees that a row is held, and leaves it.
    due.sort_unstable();
    let owner = Uuid::now_v7().to_string();
    let mut taken = Vec::with_capacity(due.len());
    for order_id in due {
        let row = sqlx::query(
            "UPDATE sagas SET lease_owner = $1, lease_until = $2, attempts = attempts + 1 \
             WHERE order_id = $3 AND due_at <= $4 AND lease_until <= $4 RETURNING *",
        )
        .bind(owner.as_str())
        .bind(now.plus(lease).millis().cast_signed())
        .bind(order_id)
        .bind(now.millis().cast_signed())
        .fetch_optional(&mut **transaction)
        .await?;
        if let Some(row) = row {
            taken.push(leased(&row)?);
        }
    }
    Ok(taken)
}

impl Leased {
    /// Holds the row until the transaction ends; `false` if the lease ran out and somebody else
    /// was faster.
    pub(crate) async fn hold(&self, transaction: &mut Transaction) -> Result<bool, sqlx::Error> {
        let held = sqlx::query(
            "UPDATE sagas SET lease_until = lease_until WHERE order_id = $1 AND lease_owner = $2",
        )
        .bind(self.order_id.to_string())
        .bind(self.lease.as_str())
        .execute(&mut **transaction)
        .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Goes on with another step at once, under a lease until `lease_until`.
    pub(crate) async fn go_on(
        &self,
        transaction: &mut Transaction,
        step: Step,
        reason: Option<Reason>,
        lease_until: UnixTime,
    ) -> Result<Self, sqlx::Error> {
        sqlx::query(
            "UPDATE sagas SET direction = $1, step = $2, attempts = 1, lease_until = $3, \
             reason = COALESCE($4, reason) WHERE order_id = $5",
        )
        .bind(step.direction().as_str())
        .bind(step.as_str())
        .bind(lease_until.millis().cast_signed())
        .bind(reason.map(Reason::as_str))
        .bind(self.order_id.to_string())
        .execute(&mut **transaction)
        .await?;
        Ok(Self { step, attempts: 1, ..self.clone() })
    }

    /// Gives the lease up; the same step is due again at `due_at`.
    pub(crate) async fn again(
        &self,
        transaction: &mut Transaction,
        due_at: UnixTime,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE sagas SET due_at = $1, lease_owner = '', lease_until = 0 WHERE order_id = $2",
        )
        .bind(due_at.millis().cast_signed())
        .bind(self.order_id.to_string())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// The saga has come to its end.
    pub(crate) async fn end(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM sagas WHERE order_id = $1")
            .bind(self.order_id.to_string())
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}

/// Sagas that are not at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Unfinished {
    pub(crate) forward: i64,
    pub(crate) undo: i64,
}

pub(crate) async fn unfinished(connection: &mut AnyConnection) -> Result<Unfinished, sqlx::Error> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT direction, COUNT(*) FROM sagas GROUP BY direction")
            .fetch_all(connection)
            .await?;
    let count = |direction: Direction| {
        rows.iter().find(|(name, _)| name == direction.as_str()).map_or(0, |(_, count)| *count)
    };
    Ok(Unfinished { forward: count(Direction::Forward), undo: count(Direction::Undo) })
}

fn leased(row: &AnyRow) -> Result<Leased, sqlx::Error> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let time = |name: &str| -> Result<UnixTime, sqlx::Error> {
        Ok(UnixTime::from_millis(row.try_get::<i64, _>(name)?.cast_unsigned()))
    };
    let unreadable = |what: &'static str| sqlx::Error::Decode(what.into());
    Ok(Leased {
        order_id: text("order_id")?.parse().map_err(|_| unreadable("not the id of an order"))?,
        step: Step::parse(&text("step")?).ok_or_else(|| unreadable("no such step of a saga"))?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        deadline_at: time("deadline_at")?,
        started_at: time("started_at")?,
        context: RequestContext::from_parts(
            Some(&text("request_id")?),
            Some(&text("traceparent")?),
        ),
        lease: text("lease_owner")?,
    })
}
