//! Reservations that ran out: what they hold goes back on sale.

use std::convert::Infallible;
use std::time::Duration;

use shop_platform::RequestContext;
use sqlx::Row;
use uuid::Uuid;

use super::event::Kind;
use super::reservation::{self, State};
use super::{Inventory, InventoryError, settle};

/// How many are looked for at a time; each is a commit of its own.
const BATCH: u32 = 100;

impl Inventory {
    /// Expires what is due, again and again. A failure is logged, and tried again after a pause.
    pub(crate) async fn keep_expiring(self, pause: Duration) -> Infallible {
        loop {
            match self.expire_due(BATCH).await {
                // There may be more.
                Ok(expired) if expired == BATCH => tokio::task::yield_now().await,
                Ok(_) => tokio::time::sleep(pause).await,
                Err(error) => {
                    tracing::error!(%error, "reservations could not be expired");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Expires up to `limit` reservations whose time has passed, the oldest first; tells how many.
    pub(crate) async fn expire_due(&self, limit: u32) -> Result<u32, InventoryError> {
        let rows = sqlx::query(
            "SELECT id FROM reservations WHERE state = $1 AND expires_at <= $2 \
             ORDER BY expires_at, id LIMIT $3",
        )
        .bind(State::Held.name())
        .bind(self.clock.now().millis().cast_signed())
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let mut expired = 0;
        for row in rows {
            let id: &str = row.try_get("id")?;
            let id = Uuid::parse_str(id).map_err(|_| InventoryError::Stored(id.to_owned()))?;
            // One whose books are wrong must not hold up the others.
            match self.expire(id).await {
                Ok(true) => expired += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, reservation = %id, "a reservation could not be expired");
                }
            }
        }
        Ok(expired)
    }

    /// Whether it was held still and its time had passed.
    async fn expire(&self, id: Uuid) -> Result<bool, InventoryError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin_write().await?;
        if !reservation::expire(&mut transaction, id, now).await? {
            return Ok(false);
        }
        // Nobody asked for it: the trace begins here.
        let context = RequestContext::begin();
        settle(&mut transaction, Kind::Expired, id, now, &context).await?;
        self.database.commit(transaction, "stock.expire").await?;
        tracing::info!(reservation = %id, "a reservation has expired");
        Ok(true)
    }
}
