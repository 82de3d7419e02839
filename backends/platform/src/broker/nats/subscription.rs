//! A member of a group: one subscription for as long as it lives, by which it asks its consumer for
//! a batch at a time and gets all answers, whenever they come.
//!
//! The server leases an event when it sends it. An answer that arrives after its subscription has ended
//! comes again only when its lease is over: late, out of order, and with one try used. So nothing
//! here gives up a question: not a wait that is given up, not a new connection, not a slow receiver.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::{self, BatchConfig};
use async_nats::jetstream::message::{AckKind, Acker};
use async_nats::{Message, StatusCode, Subscriber};
use futures_core::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::StreamExt;

use super::questions::{EXPIRES, Questions};
use super::receipt::GIVE_BACK;
use super::{CHECK_TIMEOUT, Nats, NatsReceipt, failed, not_connected};
use crate::broker::filter::Filter;
use crate::broker::keeper::{tell_of_given_back, waits_too_long};
use crate::broker::{BrokerError, Policy, dead_rubbish};
use crate::event::Event;

const ABANDONED: &str = "delivered as often as allowed, and never answered";

type Made = Result<Consumer<pull::Config>, BrokerError>;

pub(in crate::broker) struct NatsSubscription {
    nats: Arc<Nats>,
    group: Arc<str>,
    filter: Filter,
    pub(in crate::broker) policy: Policy,
    /// None after an error, which may mean that the server lost it.
    consumer: Option<Consumer<pull::Config>>,
    /// A consumer that is being made. It is kept here so that giving up `next` does not break it
    /// off, or short waits would never have one.
    making: Option<BoxFuture<'static, Made>>,
    /// Gets the answers to all questions: to each, under its number below `inbox`.
    subscriber: Subscriber,
    inbox: String,
    questions: Questions,
    /// What has come before it was waited for. No more than the questions asked for.
    waiting: VecDeque<Waiting>,
    connections: watch::Receiver<u64>,
}

/// A message, and how often its lease was extended while it waits for its turn.
struct Waiting {
    message: Message,
    beats: u32,
    /// It is for other members now.
    given_back: bool,
}

impl Waiting {
    fn new(message: Message) -> Self {
        Self { message, beats: 0, given_back: false }
    }
}

impl NatsSubscription {
    pub(super) async fn open(
        nats: Arc<Nats>,
        group: &str,
        filter: Filter,
        policy: Policy,
    ) -> Result<Self, BrokerError> {
        let mut connections = nats.connections.clone();
        connections.mark_unchanged();
        let consumer = Some(nats.consumer(group, &filter, &policy).await?);
        let inbox = nats.client.new_inbox();
        let answers = format!("{inbox}.*");
        let subscriber = nats.client.subscribe(answers).await.map_err(failed("subscribe"))?;
        Ok(Self {
            nats,
            group: group.into(),
            filter,
            policy,
            consumer,
            making: None,
            subscriber,
            inbox,
            questions: Questions::default(),
            waiting: VecDeque::new(),
            connections,
        })
    }

    pub(in crate::broker) async fn next(&mut self) -> Result<(Event, NatsReceipt), BrokerError> {
        loop {
            if self.waiting.is_empty() {
                // Before anything more is asked for: what has arrived is no longer to come.
                self.fetch_what_has_arrived().await;
            }
            let message = match self.waiting.pop_front() {
                Some(waiting) => waiting.message,
                None => self.receive().await?,
            };
            if let Some(next) = self.judge(message).await? {
                return Ok(next);
            }
        }
    }

    /// Keeps the leases of what waits for its turn. What has waited too long is for other members.
    pub(in crate::broker) async fn keep(&mut self) -> Result<(), BrokerError> {
        self.fetch_what_has_arrived().await;
        if self.nats.client.connection_state() != State::Connected {
            // There is no telling the server, and the queue to it is bounded.
            return Ok(());
        }
        // In place: if this is given up in between, nothing is lost, and what was given back by
        // then is marked as that.
        let mut kept = Ok(());
        for index in 0..self.waiting.len() {
            let Waiting { message, beats, .. } = &self.waiting[index];
            // What has a status is an answer of the server, not an event.
            if message.status.is_some() {
                continue;
            }
            let too_long = waits_too_long(*beats);
            let kind = if too_long { GIVE_BACK } else { AckKind::Progress };
            kept = self.acker(message).ack_with(kind).await.map_err(failed("keep a lease"));
            if kept.is_err() {
                break;
            }
            self.waiting[index].beats += 1;
            self.waiting[index].given_back = too_long;
        }
        let before = self.waiting.len();
        self.waiting.retain(|waiting| !waiting.given_back);
        tell_of_given_back(&self.group, before - self.waiting.len());
        kept
    }

    /// Leaves what has arrived to the other members.
    pub(in crate::broker) async fn close(&mut self) {
        // What the server has sent before this answer has arrived with it.
        if let Err(error) = self.nats.check().await {
            tracing::debug!(%error, "events may wait for the end of their lease");
        }
        self.fetch_what_has_arrived().await;
        // The question first: what is given back would come here again. What the server sends
        // until it hears of that still arrives.
        if self.nats.client.connection_state() == State::Connected
            && self.subscriber.drain().await.is_ok()
        {
            let rest = async {
                while let Some(message) = self.subscriber.next().await {
                    self.waiting.push_back(Waiting::new(message));
                }
            };
            drop(timeout(CHECK_TIMEOUT, rest).await);
        }
        for Waiting { message, .. } in std::mem::take(&mut self.waiting) {
            if message.status.is_none()
                && let Err(error) = self.acker(&message).ack_with(GIVE_BACK).await
            {
                tracing::debug!(%error, "an event was not given back");
            }
        }
    }

    /// The next message, asked for if it is not yet. Giving it up loses nothing: all that is begun
    /// here stays in `self`.
    async fn receive(&mut self) -> Result<Message, BrokerError> {
        loop {
            self.questions.forget_what_is_over(Instant::now());
            self.ask().await?;
            let over = self.questions.next_over();
            tokio::select! {
                biased;
                // What has arrived first.
                message = self.subscriber.next() => return message.ok_or_else(not_connected),
                changed = self.connections.changed() => {
                    changed.map_err(|_| not_connected())?;
                    self.questions.doubt();
                }
                () = sleep_until(over.unwrap_or_else(Instant::now)), if over.is_some() => {}
            }
        }
    }

    async fn ask(&mut self) -> Result<(), BrokerError> {
        let Some(batch) = self.questions.to_ask() else { return Ok(()) };
        let consumer = self.consumer().await?;
        let config = BatchConfig { batch, expires: Some(EXPIRES), ..BatchConfig::default() };
        let inbox = format!("{}.{}", self.inbox, self.questions.next());
        consumer.request_batch(config, inbox.into()).await.map_err(failed("ask for events"))?;
        self.questions.asked(batch, Instant::now());
        Ok(())
    }

    async fn consumer(&mut self) -> Made {
        if let Some(consumer) = &self.consumer {
            return Ok(consumer.clone());
        }
        let making = self.making.get_or_insert_with(|| {
            let (nats, group) = (Arc::clone(&self.nats), Arc::clone(&self.group));
            let (filter, policy) = (self.filter.clone(), self.policy);
            Box::pin(async move { nats.consumer(&group, &filter, &policy).await })
        });
        let made = making.as_mut().await;
        self.making = None;
        let consumer = made?;
        self.consumer = Some(consumer.clone());
        Ok(consumer)
    }

    async fn fetch_what_has_arrived(&mut self) {
        // No time at all: it is polled once.
        while let Ok(Some(message)) = timeout(Duration::ZERO, self.subscriber.next()).await {
            self.waiting.push_back(Waiting::new(message));
        }
    }

    /// The event, unless the message is none, or it is none of the group's or has no try left.
    async fn judge(
        &mut self,
        message: Message,
    ) -> Result<Option<(Event, NatsReceipt)>, BrokerError> {
        let number = message.subject.rsplit_once('.').and_then(|(_, number)| number.parse().ok());
        match (message.status, number) {
            (None, _) => self.questions.answered(),
            (Some(StatusCode::IDLE_HEARTBEAT), _) | (Some(_), None) => return Ok(None),
            (Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND), Some(number)) => {
                self.questions.ended(number);
                return Ok(None);
            }
            (Some(status), Some(number)) => {
                self.questions.ended(number);
                self.consumer = None;
                let text = format!("{status} {}", message.description.unwrap_or_default());
                return Err(failed("deliver")(std::io::Error::other(text)));
            }
        }
        self.open_message(message).await
    }

    async fn open_message(
        &mut self,
        message: Message,
    ) -> Result<Option<(Event, NatsReceipt)>, BrokerError> {
        let acker = self.acker(&message);
        let message =
            async_nats::jetstream::Message { message, context: self.nats.jetstream.clone() };
        let info = message.info().map_err(failed("say what it delivers"))?;
        let attempt = u32::try_from(info.delivered).unwrap_or(u32::MAX);
        let sequence = info.stream_sequence;
        let (nats, group) = (Arc::clone(&self.nats), Arc::clone(&self.group));
        let receipt = NatsReceipt { nats, group, attempt, acker };
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

    fn acker(&self, message: &Message) -> Acker {
        Acker::new(self.nats.jetstream.clone(), message.reply.clone())
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
