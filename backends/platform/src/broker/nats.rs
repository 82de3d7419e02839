//! NATS JetStream as the broker: one stream for all events, a durable pull consumer for each group.
//!
//! The client reconnects for ever. What it does not know of is bounded by time: a publication
//! without an acknowledgement fails after seconds, and the outbox makes it again under the same
//! `Nats-Msg-Id`, by which the server drops the second.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::context::{ContextBuilder, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::{Client, ConnectOptions, Event as ConnectionEvent};
use tokio::sync::watch;
use uuid::Uuid;

use super::filter::Filter;
use super::{BrokerError, Policy, Published, SUBJECT_PREFIX};

mod questions;
mod receipt;
mod subscription;

pub(super) use receipt::NatsReceipt;
pub(super) use subscription::NatsSubscription;

const STREAM: &str = "SHOP";
/// How long events are kept, read or not: the server knows no limit that follows the readers.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const KEPT_EVENTS: i64 = 1_000_000;
/// How long the server knows an id by itself. The inbox knows it for two weeks.
const KNOWN: Duration = Duration::from_secs(3600);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long the first connection is tried for: the server may be starting too.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(super) struct Nats {
    client: Client,
    jetstream: jetstream::Context,
    /// Counts connections: what was asked on an older one is not answered any more.
    connections: watch::Receiver<u64>,
}

impl Nats {
    pub(super) async fn open(url: &str) -> Result<Self, BrokerError> {
        if url.parse::<async_nats::ServerAddr>().is_err() {
            return Err(BrokerError::Url(url.to_owned()));
        }
        let (count, mut connections) = watch::channel(0);
        let client = connect(url, count).await?;
        // The first connection is told of a little later, and is none that replaces another.
        drop(tokio::time::timeout(CHECK_TIMEOUT, connections.wait_for(|count| *count > 0)).await);
        let jetstream = ContextBuilder::new().timeout(REQUEST_TIMEOUT).build(client.clone());
        let nats = Self { client, jetstream, connections };
        nats.ensure_stream().await?;
        Ok(nats)
    }

    pub(super) async fn publish(
        &self,
        id: Uuid,
        kind: &str,
        text: String,
    ) -> Result<Published, BrokerError> {
        match Box::pin(self.publish_once(id, kind, &text)).await {
            Err(error) if error.kind() == PublishErrorKind::StreamNotFound => {
                // The server came back without its data.
                Box::pin(self.ensure_stream()).await?;
                Box::pin(self.publish_once(id, kind, &text)).await
            }
            result => result,
        }
        .map_err(failed("publish"))
    }

    async fn publish_once(
        &self,
        id: Uuid,
        kind: &str,
        text: &str,
    ) -> Result<Published, jetstream::context::PublishError> {
        let message = PublishMessage::build()
            .message_id(id.to_string())
            .header("content-type", "application/cloudevents+json")
            .payload(text.to_owned().into());
        let subject = format!("{SUBJECT_PREFIX}.{kind}");
        let ack = self.jetstream.send_publish(subject, message).await?.await?;
        Ok(if ack.duplicate { Published::Known } else { Published::New })
    }

    pub(super) async fn subscribe(
        &self,
        group: &str,
        filter: Filter,
        policy: Policy,
    ) -> Result<NatsSubscription, BrokerError> {
        NatsSubscription::open(Arc::new(self.clone()), group, filter, policy).await
    }

    /// The group's consumer, made or brought to the present settings.
    async fn consumer(
        &self,
        group: &str,
        filter: &Filter,
        policy: &Policy,
    ) -> Result<Consumer<pull::Config>, BrokerError> {
        self.ensure_stream().await?;
        let config = pull::Config {
            durable_name: Some(group.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: policy.lease,
            max_ack_pending: policy.in_flight.into(),
            filter_subject: filter.subject(),
            ..pull::Config::default()
        };
        let consumer = self.jetstream.create_consumer_on_stream(config, STREAM).await;
        consumer.map_err(failed("make the consumer"))
    }

    async fn ensure_stream(&self) -> Result<(), BrokerError> {
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec![format!("{SUBJECT_PREFIX}.>")],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            max_age: KEPT,
            max_messages: KEPT_EVENTS,
            duplicate_window: KNOWN,
            ..Config::default()
        };
        // One that is there stays as it is: an operator may have given it other limits.
        let stream = self.jetstream.get_or_create_stream(config).await;
        stream.map(drop).map_err(failed("make the stream"))
    }

    pub(super) async fn check(&self) -> Result<(), BrokerError> {
        if self.client.connection_state() != State::Connected {
            return Err(not_connected());
        }
        // A server that came back without its data gets its stream again.
        let answer = tokio::time::timeout(CHECK_TIMEOUT, self.ensure_stream()).await;
        answer.unwrap_or_else(|_| Err(not_connected()))
    }

    /// What was answered last is sent before the connection is closed.
    pub(super) async fn close(self) {
        let flushed = tokio::time::timeout(CHECK_TIMEOUT, self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::debug!("the last answers may not have reached NATS");
        }
        drop(self.client.drain().await);
    }
}

/// The client reconnects by itself, but gives up when the very first connection fails.
async fn connect(url: &str, count: watch::Sender<u64>) -> Result<Client, BrokerError> {
    let started = tokio::time::Instant::now();
    let count = Arc::new(count);
    loop {
        let count = Arc::clone(&count);
        let options = ConnectOptions::new()
            .name("shop")
            .max_reconnects(None)
            .reconnect_delay_callback(|_| RECONNECT_PAUSE)
            .ping_interval(Duration::from_secs(10))
            .event_callback(move |event| {
                observe(&event, &count);
                std::future::ready(())
            });
        match options.connect(url).await {
            Ok(client) => return Ok(client),
            Err(error) if started.elapsed() > OPEN_TIMEOUT => return Err(failed("connect")(error)),
            Err(error) => tracing::info!(%error, "waiting for NATS"),
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

fn observe(event: &ConnectionEvent, count: &watch::Sender<u64>) {
    match event {
        ConnectionEvent::Connected => count.send_modify(|count| *count += 1),
        ConnectionEvent::Disconnected => tracing::warn!("the connection to NATS is lost"),
        event => tracing::info!(%event, "NATS"),
    }
}

fn failed<E>(what: &'static str) -> impl FnOnce(E) -> BrokerError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |error| BrokerError::Nats { what, source: error.into() }
}

fn not_connected() -> BrokerError {
    failed("answer")(std::io::Error::from(std::io::ErrorKind::NotConnected))
}
