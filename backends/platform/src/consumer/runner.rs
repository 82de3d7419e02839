//! One consumer at work: event after event, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::{Consumer, Handler, HandlerError};
use crate::broker::{Broker, BrokerError, Delivery, Failed, Policy, Subscription};
use crate::clock::Clock;
use crate::database::{Database, is_transient};
use crate::event::Event;
use crate::metrics::{EventMetrics, Outcome};
use crate::server::stopped;

/// How long a handler may take. A lease is extended meanwhile, so that something has to end it.
const HANDLING_LIMIT: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A member of the consumer's group.
pub(crate) struct Runner {
    pub(crate) consumer: Consumer,
    pub(crate) database: Database,
    pub(crate) broker: Broker,
    pub(crate) policy: Policy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: EventMetrics,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
enum Unhandled {
    #[error(transparent)]
    Handler(#[from] HandlerError),
    #[error("the handler took too long")]
    TooLong,
    #[error("the handler panicked: {0}")]
    Panicked(#[source] JoinError),
}

impl Unhandled {
    /// No fault of the event's: it is tried again here, and its tries are not used up.
    fn passes(&self) -> bool {
        matches!(self, Self::Handler(HandlerError::Database(error)) if is_transient(error))
    }
}

impl Runner {
    /// Consumes until it is told to stop; an event in hand is finished first.
    pub(crate) async fn run(mut self) {
        let Some(mut subscription) = self.subscribe().await else { return };
        let mut pause = FIRST_PAUSE;
        loop {
            let delivery = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => break,
                delivery = subscription.next() => delivery,
            };
            match delivery {
                Ok(delivery) => {
                    pause = FIRST_PAUSE;
                    self.receive(delivery).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "no events are received");
                    self.pause(&mut pause).await;
                }
            }
        }
        subscription.close().await;
    }

    async fn subscribe(&mut self) -> Option<Subscription> {
        let mut pause = FIRST_PAUSE;
        while !*self.stop.borrow() {
            let Consumer { group, kinds, .. } = self.consumer;
            match self.broker.subscribe(group, kinds, self.policy).await {
                Ok(subscription) => return Some(subscription),
                Err(error) => tracing::warn!(%error, "events cannot be subscribed to"),
            }
            self.pause(&mut pause).await;
        }
        None
    }

    async fn receive(&mut self, delivery: Delivery) {
        let event = &delivery.event;
        let span = tracing::info_span!(
            "event",
            request_id = event.context.request_id(),
            traceparent = event.context.traceparent(),
            group = self.consumer.group,
            kind = event.kind,
            subject = event.subject,
            event_id = %event.id,
        );
        async {
            let attempt = delivery.attempt;
            match Box::pin(self.settle(delivery)).await {
                Ok(Some(outcome)) => {
                    self.metrics.consumed(self.consumer.group, outcome);
                    tracing::info!(outcome = outcome.label(), attempt, "event");
                }
                // Stopping: it comes again, elsewhere or after the restart.
                Ok(None) => {}
                // The event comes again when its lease runs out; if it was handled, it is known.
                Err(error) => tracing::warn!(%error, attempt, "an event could not be answered"),
            }
        }
        .instrument(span)
        .await;
    }

    /// Handles the event, as often as it takes while the database is away, and answers.
    async fn settle(&mut self, delivery: Delivery) -> Result<Option<Outcome>, BrokerError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.handle(&delivery).await {
                Ok(outcome) => return delivery.ack().await.map(|()| Some(outcome)),
                Err(error) if error.passes() => {
                    tracing::warn!(%error, "an event waits for the database");
                    if *self.stop.borrow() {
                        return delivery.give_back().await.map(|()| None);
                    }
                    self.pause(&mut pause).await;
                    delivery.extend().await?;
                }
                Err(Unhandled::Handler(HandlerError::Unusable(reason))) => {
                    tracing::error!(reason, "an event is unusable");
                    return delivery.bury(&reason).await.map(|()| Some(Outcome::Dead));
                }
                Err(error) => return give_up(delivery, &error).await.map(Some),
            }
        }
    }

    /// Runs the handler as a task, which may panic, and keeps the lease meanwhile.
    async fn handle(&self, delivery: &Delivery) -> Result<Outcome, Unhandled> {
        let work = Work {
            handler: Arc::clone(&self.consumer.handler),
            group: self.consumer.group,
            database: self.database.clone(),
            now: self.clock.now().millis().cast_signed(),
            event: delivery.event.clone(),
        };
        // Dropped with this future, so that a drain that is over leaves nothing running.
        let mut task = JoinSet::new();
        task.spawn(work.run().in_current_span());
        let started = tokio::time::Instant::now();
        let mut beat = tokio::time::interval(delivery.lease() / 3);
        beat.tick().await;
        loop {
            tokio::select! {
                Some(done) = task.join_next() => return match done {
                    Ok(result) => Ok(result?),
                    Err(error) => Err(Unhandled::Panicked(error)),
                },
                _ = beat.tick() => {
                    if started.elapsed() > HANDLING_LIMIT {
                        return Err(Unhandled::TooLong);
                    }
                    if let Err(error) = delivery.extend().await {
                        tracing::debug!(%error, "a lease was not extended");
                    }
                }
            }
        }
    }

    async fn pause(&mut self, pause: &mut Duration) {
        drop(tokio::time::timeout(*pause, stopped(&mut self.stop)).await);
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }
}

async fn give_up(delivery: Delivery, error: &Unhandled) -> Result<Outcome, BrokerError> {
    match delivery.fail(&error.to_string()).await? {
        Failed::Waits => {
            // What is not yet is no failure.
            if let Unhandled::Handler(HandlerError::Later(reason)) = error {
                tracing::debug!(reason, "an event comes later");
            } else {
                tracing::warn!(%error, "an event was not handled");
            }
            Ok(Outcome::Again)
        }
        Failed::Dead => {
            tracing::error!(%error, "an event was given up");
            Ok(Outcome::Dead)
        }
    }
}

/// One try at one event.
struct Work {
    handler: Arc<dyn Handler>,
    group: &'static str,
    database: Database,
    now: i64,
    event: Event,
}

impl Work {
    async fn run(self) -> Result<Outcome, HandlerError> {
        let mut transaction = self.database.begin_write().await?;
        let new = sqlx::query(
            "INSERT INTO inbox (consumer_group, event_id, received_at) VALUES ($1, $2, $3) \
             ON CONFLICT (consumer_group, event_id) DO NOTHING",
        )
        .bind(self.group)
        .bind(self.event.id.to_string())
        .bind(self.now)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if new == 0 {
            return Ok(Outcome::Known);
        }
        self.handler.handle(&mut transaction, &self.event).await?;
        let step = format!("consume:{}:{}", self.group, self.event.kind);
        self.database.commit(transaction, &step).await?;
        self.handler.committed(&self.event);
        Ok(Outcome::Handled)
    }
}

/// A delivery's work without the delivery.
#[cfg(test)]
pub(super) async fn work_for_tests(
    handler: Arc<dyn Handler>,
    group: &'static str,
    database: Database,
    event: Event,
) -> Result<(), HandlerError> {
    Work { handler, group, database, now: 0, event }.run().await.map(drop)
}
