//! What a receiver answers, sent to the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::{AckKind, Acker};

use super::{Nats, failed};
use crate::broker::{BrokerError, dead_letter, dead_text};
use crate::event::Event;

/// Nearly without delay: what is given back before the server has forgotten the question that is open here
/// would be its answer.
pub(super) const GIVE_BACK: AckKind = AckKind::Nak(Some(Duration::from_millis(5)));

/// The right to answer for one delivery.
pub(in crate::broker) struct NatsReceipt {
    pub(super) nats: Arc<Nats>,
    pub(super) group: Arc<str>,
    pub(in crate::broker) attempt: u32,
    pub(super) acker: Acker,
}

impl NatsReceipt {
    pub(in crate::broker) async fn ack(self) -> Result<(), BrokerError> {
        self.acker.ack().await.map_err(failed("acknowledge"))
    }

    pub(in crate::broker) async fn again(self, wait: Duration) -> Result<(), BrokerError> {
        let again = self.acker.ack_with(AckKind::Nak(Some(wait))).await;
        again.map_err(failed("take back"))
    }

    pub(in crate::broker) async fn give_back(self) -> Result<(), BrokerError> {
        self.acker.ack_with(GIVE_BACK).await.map_err(failed("give back"))
    }

    pub(in crate::broker) async fn extend(&self) -> Result<(), BrokerError> {
        self.acker.ack_with(AckKind::Progress).await.map_err(failed("extend a lease"))
    }

    pub(in crate::broker) async fn bury(
        self,
        event: &Event,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let dead = dead_letter(&self.group, event, reason, self.attempt);
        self.end_with(&dead).await
    }

    /// The dead letter first: if this process dies in between, the event comes again and is buried
    /// again, under the same id.
    pub(super) async fn end_with(self, dead: &Event) -> Result<(), BrokerError> {
        self.nats.publish(dead.id, &dead.kind, dead_text(dead)?).await?;
        self.acker.ack_with(AckKind::Term).await.map_err(failed("end a delivery"))
    }
}

impl fmt::Debug for NatsReceipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsReceipt")
            .field("group", &self.group)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
