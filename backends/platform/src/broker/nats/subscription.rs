//! A member of a group: it asks its consumer for a batch at a time, and answers one by one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::message::{AckKind, Acker, Message};
use futures_core::future::BoxFuture;
use tokio::sync::watch;
use tokio_stream::StreamExt;

use super::{Nats, failed};
use crate::broker::filter::Filter;
use crate::broker::{BrokerError, Policy, dead_letter, dead_rubbish, dead_text};
use crate::event::Event;

/// Events asked for at once; they are leased to this member from when they are sent.
const BATCH: usize = 16;
/// How long the server remembers that it was asked.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Nearly at once: what is given back before the server has forgotten the question that is open here
/// would be its answer, and so nobody's.
const GIVE_BACK: AckKind = AckKind::Nak(Some(Duration::from_millis(5)));
const ABANDONED: &str = "delivered as often as allowed, and never answered";

pub(in crate::broker) struct NatsSubscription {
    nats: Arc<Nats>,
    group: Arc<str>,
    filter: Filter,
    pub(in crate::broker) policy: Policy,
    /// None after an error, which may mean that the server lost it.
    consumer: Option<Consumer<pull::Config>>,
    batch: Option<pull::Batch>,
    /// A question under way. It is kept here so that giving up `next` does not break it off: its
    /// answers would be nobody's until their lease runs out.
    asking: Option<BoxFuture<'static, Result<Asked, BrokerError>>>,
    connections: watch::Receiver<u64>,
}

type Asked = (Consumer<pull::Config>, pull::Batch);

/// The right to answer for one delivery.
pub(in crate::broker) struct NatsReceipt {
    nats: Arc<Nats>,
    group: Arc<str>,
    pub(in crate::broker) attempt: u32,
    acker: Acker,
}

impl NatsSubscription {
    pub(super) async fn open(
        nats: Arc<Nats>,
        group: &str,
        filter: Filter,
        policy: Policy,
    ) -> Result<Self, BrokerError> {
        let consumer = Some(nats.consumer(group, &filter, &policy).await?);
        let connections = nats.connections.clone();
        let group = group.into();
        Ok(Self { nats, group, filter, policy, consumer, batch: None, asking: None, connections })
    }

    pub(in crate::broker) async fn next(&mut self) -> Result<(Event, NatsReceipt), BrokerError> {
        loop {
            if self.batch.is_none() {
                self.ask().await?;
            }
            let Some(batch) = &mut self.batch else { continue };
            // What has arrived first: a new connection only means that nothing else will.
            let arrived = tokio::select! {
                biased;
                arrived = batch.next() => arrived,
                changed = self.connections.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => batch.next().await,
                },
            };
            match arrived {
                Some(Ok(message)) => {
                    if let Some(next) = self.open_message(message).await? {
                        return Ok(next);
                    }
                }
                Some(Err(error)) => {
                    (self.batch, self.consumer) = (None, None);
                    return Err(failed("deliver")(error));
                }
                None => self.batch = None,
            }
        }
    }

    /// Leaves what has arrived to the other members.
    pub(in crate::broker) async fn close(mut self) {
        // What the server has sent before this answer has arrived with it.
        if let Err(error) = self.nats.check().await {
            tracing::debug!(%error, "events may be leased to nobody");
        }
        let now = Duration::ZERO;
        if self.asking.is_some() {
            drop(tokio::time::timeout(now, self.ask()).await);
        }
        let Some(mut batch) = self.batch else { return };
        let mut arrived = Vec::new();
        // No time at all: it is polled once.
        while let Ok(Some(Ok(message))) = tokio::time::timeout(now, batch.next()).await {
            arrived.push(message);
        }
        // The question first: what is given back would come here again.
        drop(batch);
        for message in arrived {
            if let Err(error) = message.ack_with(GIVE_BACK).await {
                tracing::debug!(%error, "an event was not given back");
            }
        }
    }

    async fn ask(&mut self) -> Result<(), BrokerError> {
        let asking = match &mut self.asking {
            Some(asking) => asking,
            none => none.insert(Box::pin(ask(
                Arc::clone(&self.nats),
                Arc::clone(&self.group),
                self.filter.clone(),
                self.policy,
                self.consumer.clone(),
            ))),
        };
        let asked = asking.as_mut().await;
        self.asking = None;
        let (consumer, batch) = asked?;
        (self.consumer, self.batch) = (Some(consumer), Some(batch));
        Ok(())
    }

    /// The event, unless it is none of the group's or has no try left.
    async fn open_message(
        &mut self,
        message: Message,
    ) -> Result<Option<(Event, NatsReceipt)>, BrokerError> {
        let info = message.info().map_err(failed("say what it delivers"))?;
        let attempt = u32::try_from(info.delivered).unwrap_or(u32::MAX);
        let sequence = info.stream_sequence;
        let (message, acker) = message.split();
        let receipt = NatsReceipt {
            nats: Arc::clone(&self.nats),
            group: Arc::clone(&self.group),
            attempt,
            acker,
        };
        let event = match Event::from_json(&message.payload) {
            Ok(event) => event,
            Err(error) => {
                let id = sequence.to_be_bytes();
                let dead = dead_rubbish(&self.group, &id, &message.payload, &error);
                receipt.end_with(&dead).await?;
                return Ok(None);
            }
        };
        if !self.filter.matches(&event.kind) {
            receipt.ack().await?;
            return Ok(None);
        }
        if attempt > self.policy.attempts {
            // Whoever had it each time did not live to answer.
            receipt.bury(&event, ABANDONED).await?;
            return Ok(None);
        }
        Ok(Some((event, receipt)))
    }
}

/// Makes the consumer if it may be lost, and asks it for a batch.
async fn ask(
    nats: Arc<Nats>,
    group: Arc<str>,
    filter: Filter,
    policy: Policy,
    consumer: Option<Consumer<pull::Config>>,
) -> Result<Asked, BrokerError> {
    let consumer = match consumer {
        Some(consumer) => consumer,
        None => nats.consumer(&group, &filter, &policy).await?,
    };
    let batch = consumer.batch().max_messages(BATCH).expires(ASK_AGAIN).messages().await;
    Ok((consumer, batch.map_err(failed("ask for events"))?))
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
    async fn end_with(self, dead: &Event) -> Result<(), BrokerError> {
        self.nats.publish(dead.id, &dead.kind, dead_text(dead)?).await?;
        self.acker.ack_with(AckKind::Term).await.map_err(failed("end a delivery"))
    }
}

impl fmt::Debug for NatsSubscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsSubscription")
            .field("group", &self.group)
            .finish_non_exhaustive()
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
