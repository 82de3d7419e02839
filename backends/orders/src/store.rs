//! The events in the database: an order is loaded by them and changed by adding to them.
//!
//! Whoever appends says by the order's version what was known. If somebody else was faster, the
//! versions are taken and the answer is [`StoreError::Conflict`]: give the transaction up, load
//! anew, decide anew. The read model follows in the same transaction ([`view`]).

use shop_platform::UnixTime;
use shop_platform::database::Transaction;
use sqlx::AnyConnection;
use uuid::Uuid;

use crate::order::{Command, Order, OrderEvent, Refusal, UnreadableEvent};
use crate::view;

/// Every so many events an order is written down whole.
const SNAPSHOT_EVERY: i64 = 10;
/// The shape of snapshots. Others are passed over: the events have everything.
const SNAPSHOT_SHAPE: u64 = 1;
/// How often a write is tried anew when others were faster.
pub(crate) const TRIES: usize = 5;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the order was changed in the meantime")]
    Conflict,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("order {0} cannot be read: its events have a gap, or begin with the wrong one")]
    Gap(Uuid),
    #[error("order {order_id} cannot be read: {source}")]
    Unreadable { order_id: Uuid, source: UnreadableEvent },
    #[error("order {order_id} cannot be written: {source}")]
    Snapshot { order_id: Uuid, source: serde_json::Error },
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// An event as it happened: the `version`th of its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) version: i64,
    pub(crate) at: UnixTime,
    pub(crate) event: OrderEvent,
}

/// Writes down a new order.
pub(crate) async fn place(
    transaction: &mut Transaction,
    order_id: Uuid,
    event: &OrderEvent,
    now: UnixTime,
) -> Result<Order, StoreError> {
    let order = Order::begin(order_id, event, now).ok_or(StoreError::Gap(order_id))?;
    append(transaction, order_id, 1, event, now).await?;
    view::insert(transaction, &order).await?;
    Ok(order)
}

/// Decides and writes down what follows from `commands`; `order` is as new as that afterwards.
pub(crate) async fn execute(
    transaction: &mut Transaction,
    order: &mut Order,
    commands: impl IntoIterator<Item = Command>,
    now: UnixTime,
) -> Result<(), StoreError> {
    let known = order.version();
    for command in commands {
        for event in order.decide(command)? {
            append(transaction, order.id(), order.version() + 1, &event, now).await?;
            order.apply(&event, now);
        }
    }
    if order.version() == known {
        return Ok(());
    }
    if !view::follow(transaction, order, known).await? {
        return Err(StoreError::Conflict);
    }
    if order.version() / SNAPSHOT_EVERY > known / SNAPSHOT_EVERY {
        keep_snapshot(transaction, order).await?;
    }
    Ok(())
}

async fn append(
    transaction: &mut Transaction,
    order_id: Uuid,
    version: i64,
    event: &OrderEvent,
    now: UnixTime,
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO order_events (order_id, version, kind, data, at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (order_id, version) DO NOTHING",
    )
    .bind(order_id.to_string())
    .bind(version)
    .bind(event.kind())
    .bind(event.write())
    .bind(now.millis().cast_signed())
    .execute(&mut **transaction)
    .await?;
    if inserted.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

async fn keep_snapshot(transaction: &mut Transaction, order: &Order) -> Result<(), StoreError> {
    let order_id = order.id();
    let written =
        serde_json::to_value(order).map_err(|source| StoreError::Snapshot { order_id, source })?;
    let data = serde_json::json!({ "v": SNAPSHOT_SHAPE, "order": written }).to_string();
    sqlx::query(
        "INSERT INTO order_snapshots (order_id, version, data) VALUES ($1, $2, $3) \
         ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, data = excluded.data \
         WHERE order_snapshots.version < excluded.version",
    )
    .bind(order_id.to_string())
    .bind(order.version())
    .bind(data)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The order as of its last event, by its snapshot and what came later.
pub(crate) async fn load(
    connection: &mut AnyConnection,
    order_id: Uuid,
) -> Result<Option<Order>, StoreError> {
    let snapshot: Option<String> =
        sqlx::query_scalar("SELECT data FROM order_snapshots WHERE order_id = $1")
            .bind(order_id.to_string())
            .fetch_optional(&mut *connection)
            .await?;
    let mut order = snapshot.and_then(|data| read_snapshot(order_id, &data));
    let known = order.as_ref().map_or(0, Order::version);
    for recorded in history(connection, order_id, known).await? {
        order = Some(follow(order_id, order, &recorded)?);
    }
    Ok(order)
}

/// The order after one more event.
pub(crate) fn follow(
    order_id: Uuid,
    order: Option<Order>,
    recorded: &Recorded,
) -> Result<Order, StoreError> {
    let Recorded { version, at, event } = recorded;
    let order = match order {
        Some(mut order) => {
            order.apply(event, *at);
            Some(order)
        }
        None => Order::begin(order_id, event, *at),
    };
    order.filter(|order| order.version() == *version).ok_or(StoreError::Gap(order_id))
}

/// The events of an order after the first `known`, in their order.
pub(crate) async fn history(
    connection: &mut AnyConnection,
    order_id: Uuid,
    known: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
        "SELECT version, kind, data, at FROM order_events \
         WHERE order_id = $1 AND version > $2 ORDER BY version",
    )
    .bind(order_id.to_string())
    .bind(known)
    .fetch_all(connection)
    .await?;
    let read = |(version, kind, data, at): (i64, String, String, i64)| {
        let event = OrderEvent::read(&kind, &data)
            .map_err(|source| StoreError::Unreadable { order_id, source })?;
        Ok(Recorded { version, at: UnixTime::from_millis(at.cast_unsigned()), event })
    };
    rows.into_iter().map(read).collect()
}

/// Whatever is odd about a snapshot, the events are there.
fn read_snapshot(order_id: Uuid, data: &str) -> Option<Order> {
    let mut snapshot: serde_json::Value = serde_json::from_str(data).ok()?;
    if snapshot.get("v")?.as_u64()? != SNAPSHOT_SHAPE {
        return None;
    }
    let order: Order = serde_json::from_value(snapshot.get_mut("order")?.take()).ok()?;
    (order.id() == order_id).then_some(order)
}
