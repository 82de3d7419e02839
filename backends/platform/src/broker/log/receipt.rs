//! What a receiver answers, written into the log.

use std::sync::Arc;
use std::time::Duration;

use super::{Log, after, millis, now};
use crate::broker::{BrokerError, dead_letter};
use crate::event::Event;

/// The right to answer for one delivery. `attempt` is its number: once the lease has run out and
/// another delivery was made, only an acknowledgement still counts.
#[derive(Debug)]
pub(in crate::broker) struct LogReceipt {
    pub(super) log: Log,
    pub(super) group: Arc<str>,
    pub(super) seq: i64,
    pub(in crate::broker) attempt: u32,
}

impl LogReceipt {
    /// Also when the lease has run out: what is handled is handled.
    pub(in crate::broker) async fn ack(self) -> Result<(), BrokerError> {
        sqlx::query("DELETE FROM deliveries WHERE group_name = $1 AND seq = $2")
            .bind(&*self.group)
            .bind(self.seq)
            .execute(self.log.database.pool())
            .await?;
        Ok(())
    }

    pub(in crate::broker) async fn again(self, wait: Duration) -> Result<(), BrokerError> {
        self.due(after(wait)).await
    }

    pub(in crate::broker) async fn extend(&self, lease: Duration) -> Result<(), BrokerError> {
        self.due(after(lease)).await
    }

    async fn due(&self, at: i64) -> Result<(), BrokerError> {
        sqlx::query(
            "UPDATE deliveries SET due_at = $1 \
             WHERE group_name = $2 AND seq = $3 AND attempts = $4",
        )
        .bind(at)
        .bind(&*self.group)
        .bind(self.seq)
        .bind(i64::from(self.attempt))
        .execute(self.log.database.pool())
        .await?;
        Ok(())
    }

    /// For another member at once; as if it had not been delivered here.
    pub(in crate::broker) async fn give_back(self) -> Result<(), BrokerError> {
        sqlx::query(
            "UPDATE deliveries SET due_at = $1, attempts = attempts - 1 \
             WHERE group_name = $2 AND seq = $3 AND attempts = $4",
        )
        .bind(millis(now()))
        .bind(&*self.group)
        .bind(self.seq)
        .bind(i64::from(self.attempt))
        .execute(self.log.database.pool())
        .await?;
        self.log.wake.notify_waiters();
        Ok(())
    }

    pub(in crate::broker) async fn bury(
        self,
        event: &Event,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let dead = dead_letter(&self.group, event, reason, self.attempt);
        let mut transaction = self.log.database.begin_write().await?;
        super::take::bury(&mut transaction, &self.group, self.seq, &dead).await?;
        transaction.commit().await?;
        self.log.wake.notify_waiters();
        Ok(())
    }
}
