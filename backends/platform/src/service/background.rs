//! What runs beside the requests: the outbox's relay, the consumers, the service's own tasks, and
//! the upkeep of the platform's tables.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Service, Task};
use crate::clock::Clock;
use crate::consumer::{self, Runner};
use crate::database::Database;
use crate::idempotency;
use crate::metrics::EventMetrics;
use crate::outbox::{self, Relay};
use crate::readiness::Readiness;
use crate::server::StartError;

/// How often rows are looked for that are kept long enough.
const UPKEEP: Duration = Duration::from_secs(600);

/// Everything to run, before it runs.
pub(super) struct Background {
    relay: Option<Relay>,
    consumers: Vec<Runner>,
    tasks: Vec<Task>,
    readiness: Readiness,
    /// Set when consumers shall stop, and later the relay.
    stop_consumers: watch::Sender<bool>,
    stop_relay: watch::Sender<bool>,
}

/// Everything running. Dropped, it is aborted.
pub(super) struct Started {
    relay: JoinSet<Relay>,
    consumers: JoinSet<()>,
    tasks: JoinSet<Infallible>,
    readiness: Readiness,
    stop_consumers: watch::Sender<bool>,
    stop_relay: watch::Sender<bool>,
}

impl Background {
    /// Takes its share out of `service`, which must have listed the migrations that it needs.
    pub(super) fn prepare(service: &mut Service, readiness: Readiness) -> Result<Self, StartError> {
        let database = &service.database;
        let (stop_consumers, stopping) = watch::channel(false);
        let (stop_relay, _) = watch::channel(false);
        let consumers = std::mem::take(&mut service.consumers);
        let mut tasks = std::mem::take(&mut service.tasks);
        if !consumers.is_empty() && service.broker.is_none() {
            let source = "they need a broker".into();
            return Err(StartError::Prepare { what: "the consumers", source });
        }
        if !consumers.is_empty() && !database.has(consumer::MIGRATION) {
            return Err(StartError::Migration(consumer::MIGRATION.0));
        }
        if database.has(consumer::MIGRATION) || database.has(idempotency::MIGRATION) {
            let run = Box::pin(upkeep(database.clone(), Arc::clone(&service.clock)));
            tasks.push(Task { name: "upkeep", run });
        }
        let (mut relay, mut runners) = (None, Vec::new());
        if let Some(broker) = &service.broker {
            let metrics = EventMetrics::try_new(&service.registry)?;
            if database.has(outbox::MIGRATION) {
                relay = Some(Relay::new(database.clone(), broker.clone(), metrics.clone()));
            }
            runners.extend(consumers.into_iter().map(|consumer| Runner {
                consumer,
                database: database.clone(),
                broker: broker.clone(),
                policy: service.policy,
                clock: Arc::clone(&service.clock),
                metrics: metrics.clone(),
                stop: stopping.clone(),
            }));
        }
        Ok(Self { relay, consumers: runners, tasks, readiness, stop_consumers, stop_relay })
    }

    pub(super) fn start(self) -> Started {
        let mut relay = JoinSet::new();
        if let Some(work) = self.relay {
            let stop = self.stop_relay.subscribe();
            relay.spawn(work.run(stop).instrument(tracing::info_span!("outbox")));
        }
        let mut consumers = JoinSet::new();
        for runner in self.consumers {
            let span = tracing::info_span!("consumer", group = runner.consumer.group);
            consumers.spawn(runner.run().instrument(span));
        }
        let mut tasks = JoinSet::new();
        for task in self.tasks {
            tasks.spawn(task.run.instrument(tracing::info_span!("task", name = task.name)));
        }
        let (readiness, stop_consumers, stop_relay) =
            (self.readiness, self.stop_consumers, self.stop_relay);
        Started { relay, consumers, tasks, readiness, stop_consumers, stop_relay }
    }
}

impl Started {
    /// Watches over what shall not end before it is told to. Never resolves.
    pub(super) async fn watch(&mut self) -> Infallible {
        loop {
            let what = tokio::select! {
                Some(_) = self.relay.join_next() => "the outbox's relay",
                Some(_) = self.consumers.join_next() => "a consumer",
                Some(_) = self.tasks.join_next() => "a task",
                else => std::future::pending().await,
            };
            tracing::error!(what, "a part of the service broke down: a restart is needed");
            self.readiness.broken();
        }
    }

    /// Ends consumers and tasks, then the relay, which sends what is left.
    pub(super) async fn stop(mut self, deadline: Instant) {
        self.tasks.shutdown().await;
        self.stop_consumers.send_replace(true);
        let ended = async { while self.consumers.join_next().await.is_some() {} };
        if !in_time(deadline, ended).await {
            tracing::warn!("an event's handler outlasted the drain");
            self.consumers.shutdown().await;
        }
        self.stop_relay.send_replace(true);
        let sent = in_time(deadline, async {
            while let Some(relay) = self.relay.join_next().await {
                let Ok(relay) = relay else { continue };
                if let Err(error) = relay.send_all().await {
                    tracing::warn!(%error, "events stay in the outbox until the next start");
                }
            }
        });
        if !sent.await {
            tracing::warn!("events may stay in the outbox until the next start");
        }
    }
}

async fn in_time(deadline: Instant, work: impl Future<Output = ()>) -> bool {
    tokio::time::timeout_at(deadline, work).await.is_ok()
}

/// Deletes what is kept long enough.
async fn upkeep(database: Database, clock: Arc<dyn Clock>) -> Infallible {
    loop {
        let now = clock.now();
        if database.has(consumer::MIGRATION)
            && let Err(error) = consumer::prune(&database, now).await
        {
            tracing::warn!(%error, "the inbox could not be pruned");
        }
        if database.has(idempotency::MIGRATION)
            && let Err(error) = idempotency::prune(&database, now).await
        {
            tracing::warn!(%error, "the idempotency keys could not be pruned");
        }
        tokio::time::sleep(UPKEEP).await;
    }
}
