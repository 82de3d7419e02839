//! The read model: orders as they are asked for, one row each.
//!
//! A row follows from the events of its order and nothing else. It is brought up to date by the
//! transaction that appends them, so that whoever wrote reads what was written, and it can be made
//! anew at any time ([`crate::rebuild`]).

use serde::Serialize;
use shop_platform::UnixTime;
use shop_platform::database::Transaction;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::lines::{Money, PricedLine};
use crate::order::{Order, Reason, State};

/// An order as its customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderDocument {
    pub(crate) id: Uuid,
    pub(crate) state: State,
    /// Why it is being cancelled, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    /// Whether money that had been taken was given back.
    pub(crate) refunded: bool,
    pub(crate) lines: Vec<PricedLine>,
    pub(crate) total: Money,
    /// Complaints there are.
    pub(crate) complaints: i64,
    /// Grows with everything that happens to the order.
    pub(crate) version: i64,
    /// RFC 3339.
    pub(crate) placed_at: String,
    pub(crate) changed_at: String,
}

impl OrderDocument {
    /// The same as from the row.
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            id: order.id(),
            state: order.state(),
            reason: order.reason(),
            refunded: order.refunded(),
            lines: order.lines().to_vec(),
            total: order.total().clone(),
            complaints: complaints(order),
            version: order.version(),
            placed_at: order.placed_at().to_string(),
            changed_at: order.changed_at().to_string(),
        }
    }
}

fn complaints(order: &Order) -> i64 {
    i64::try_from(order.complaints().len()).unwrap_or(i64::MAX)
}

/// Adds the row of a new order, or of one that had none.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    order: &Order,
) -> Result<(), sqlx::Error> {
    let lines = serde_json::to_string(order.lines())
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query(
        "INSERT INTO orders_view (order_id, account_id, state, reason, refunded, lines, \
         total_minor, currency, complaints, version, placed_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(order.id().to_string())
    .bind(order.account_id().to_string())
    .bind(order.state().as_str())
    .bind(order.reason().map(Reason::as_str))
    .bind(i64::from(order.refunded()))
    .bind(lines)
    .bind(order.total().minor_units)
    .bind(order.total().currency.as_str())
    .bind(complaints(order))
    .bind(order.version())
    .bind(order.placed_at().millis().cast_signed())
    .bind(order.changed_at().millis().cast_signed())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Brings the row from version `from` to that of `order`; `false` if it was not at `from`.
pub(crate) async fn follow(
    transaction: &mut Transaction,
    order: &Order,
    from: i64,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query(
        "UPDATE orders_view SET state = $1, reason = $2, refunded = $3, complaints = $4, \
         version = $5, changed_at = $6 WHERE order_id = $7 AND version = $8",
    )
    .bind(order.state().as_str())
    .bind(order.reason().map(Reason::as_str))
    .bind(i64::from(order.refunded()))
    .bind(complaints(order))
    .bind(order.version())
    .bind(order.changed_at().millis().cast_signed())
    .bind(order.id().to_string())
    .bind(from)
    .execute(&mut **transaction)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// An account's order; `None` also if it is someone else's.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    account_id: Uuid,
    order_id: Uuid,
) -> Result<Option<OrderDocument>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM orders_view WHERE order_id = $1 AND account_id = $2")
        .bind(order_id.to_string())
        .bind(account_id.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|row| document(&row)).transpose()
}

/// An account's orders, the newest first, from before `before` on.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    account_id: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<OrderDocument>, sqlx::Error> {
    // Greater than any id.
    let before = before.map_or("g".to_owned(), |id| id.to_string());
    let rows = sqlx::query(
        "SELECT * FROM orders_view WHERE account_id = $1 AND order_id < $2 \
         ORDER BY order_id DESC LIMIT $3",
    )
    .bind(account_id.to_string())
    .bind(before)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(document).collect()
}

/// The orders of one state in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StateSum {
    pub(crate) state: State,
    pub(crate) orders: i64,
    /// What they cost together.
    pub(crate) total: Money,
}

pub(crate) async fn sums(connection: &mut AnyConnection) -> Result<Vec<StateSum>, sqlx::Error> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT state, currency, COUNT(*), CAST(SUM(total_minor) AS BIGINT) FROM orders_view \
         GROUP BY state, currency ORDER BY state, currency",
    )
    .fetch_all(connection)
    .await?;
    let sum = |(state, currency, orders, minor_units): (String, String, i64, i64)| {
        Ok(StateSum { state: parse_state(&state)?, orders, total: Money { minor_units, currency } })
    };
    rows.into_iter().map(sum).collect()
}

fn document(row: &AnyRow) -> Result<OrderDocument, sqlx::Error> {
    let time = |name: &str| -> Result<String, sqlx::Error> {
        let millis: i64 = row.try_get(name)?;
        Ok(UnixTime::from_millis(millis.cast_unsigned()).to_string())
    };
    let id: String = row.try_get("order_id")?;
    let state: String = row.try_get("state")?;
    let reason: Option<String> = row.try_get("reason")?;
    let lines: String = row.try_get("lines")?;
    Ok(OrderDocument {
        id: id.parse().map_err(|error: uuid::Error| sqlx::Error::Decode(Box::new(error)))?,
        state: parse_state(&state)?,
        reason: reason.as_deref().and_then(Reason::parse),
        refunded: row.try_get::<i64, _>("refunded")? != 0,
        lines: serde_json::from_str(&lines)
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        total: Money {
            minor_units: row.try_get("total_minor")?,
            currency: row.try_get("currency")?,
        },
        complaints: row.try_get("complaints")?,
        version: row.try_get("version")?,
        placed_at: time("placed_at")?,
        changed_at: time("changed_at")?,
    })
}

fn parse_state(text: &str) -> Result<State, sqlx::Error> {
    State::parse(text).ok_or_else(|| sqlx::Error::Decode("no such state of an order".into()))
}
