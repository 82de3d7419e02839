//! Makes the read model anew from the events.
//!
//! Order by order, a batch in a transaction: rows that are right already are away for no reader,
//! and a writer who comes between finds its row at the version that it knows. May be repeated, and
//! stopped at any point.

use shop_platform::Database;
use shop_platform::database::Transaction;
use uuid::Uuid;

use crate::store::{self, StoreError};
use crate::view;

/// Orders made anew in one transaction; writers wait as long as that takes.
const BATCH: i64 = 100;

/// Tells how many orders there are.
pub(crate) async fn rebuild(database: &Database) -> Result<u64, StoreError> {
    // Rows of no order at all; nothing in this program leaves any.
    let mut transaction = database.begin_write().await?;
    sqlx::query(
        "DELETE FROM orders_view WHERE NOT EXISTS \
         (SELECT 1 FROM order_events WHERE order_events.order_id = orders_view.order_id)",
    )
    .execute(&mut *transaction)
    .await?;
    database.commit(transaction, "orders.rebuild").await?;
    let (mut last, mut count) = (String::new(), 0);
    loop {
        let mut transaction = database.begin_write().await?;
        let batch: Vec<String> = sqlx::query_scalar(
            "SELECT order_id FROM order_events WHERE version = 1 AND order_id > $1 \
             ORDER BY order_id LIMIT $2",
        )
        .bind(last.as_str())
        .bind(BATCH)
        .fetch_all(&mut *transaction)
        .await?;
        let Some(end) = batch.last().cloned() else { return Ok(count) };
        for order_id in &batch {
            let id = order_id.parse().map_err(|_| StoreError::Gap(Uuid::nil()))?;
            replace(&mut transaction, id).await?;
            count += 1;
        }
        database.commit(transaction, "orders.rebuild").await?;
        last = end;
    }
}

/// The row goes before the events are read: whoever is about to write both waits for us at the row,
/// or we for them, and then we read what they wrote.
async fn replace(transaction: &mut Transaction, order_id: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM orders_view WHERE order_id = $1")
        .bind(order_id.to_string())
        .execute(&mut **transaction)
        .await?;
    let mut order = None;
    for recorded in store::history(transaction, order_id, 0).await? {
        order = Some(store::follow(order_id, order, &recorded)?);
    }
    if let Some(order) = order {
        view::insert(transaction, &order).await?;
    }
    Ok(())
}
