//! One event at its receiver, and what the receiver answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::keeper::{Keep, Keeper};
use super::log::{LogReceipt, LogSubscription};
use super::nats::{NatsReceipt, NatsSubscription};
use super::{BrokerError, Policy};
use crate::event::Event;

/// For how long `close` waits for what is being done for the member.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A member of a group. Dropping it is as a crash: what it holds comes again after the lease.
#[derive(Debug)]
pub struct Subscription {
    engine: Arc<Mutex<Engine>>,
    _keeper: Keeper,
}

#[derive(Debug)]
enum Engine {
    Log(Box<LogSubscription>),
    Nats(Box<NatsSubscription>),
}

/// One event, once. Dropped without an answer, it comes again after its lease.
#[derive(Debug)]
pub struct Delivery {
    pub event: Event,
    /// Which delivery of this event to the group this is, from one.
    pub attempt: u32,
    policy: Policy,
    receipt: Receipt,
}

#[derive(Debug)]
enum Receipt {
    Log(LogReceipt),
    Nats(Box<NatsReceipt>),
}

/// What became of an event that could not be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It comes again.
    Waits,
    /// It was the last try: it is with the dead letters.
    Dead,
}

impl Subscription {
    pub(super) fn log(subscription: LogSubscription) -> Self {
        let lease = subscription.policy.lease;
        Self::new(Engine::Log(Box::new(subscription)), lease)
    }

    pub(super) fn nats(subscription: NatsSubscription) -> Self {
        let lease = subscription.policy.lease;
        Self::new(Engine::Nats(Box::new(subscription)), lease)
    }

    fn new(engine: Engine, lease: Duration) -> Self {
        let engine = Arc::new(Mutex::new(engine));
        let _keeper = Keeper::start(&engine, lease);
        Self { engine, _keeper }
    }

    /// Waits for the next event. Nothing is lost if the wait is given up, and after an error it
    /// may be called again. What has been sent ahead keeps its lease until it is its turn, for ten
    /// leases at most.
    pub async fn next(&mut self) -> Result<Delivery, BrokerError> {
        match &mut *self.engine.lock().await {
            Engine::Log(subscription) => {
                let (event, receipt) = subscription.next().await?;
                let (attempt, policy) = (receipt.attempt, subscription.policy);
                Ok(Delivery { event, attempt, policy, receipt: Receipt::Log(receipt) })
            }
            Engine::Nats(subscription) => {
                let (event, receipt) = subscription.next().await?;
                let (attempt, policy) = (receipt.attempt, subscription.policy);
                Ok(Delivery { event, attempt, policy, receipt: Receipt::Nats(Box::new(receipt)) })
            }
        }
    }

    /// Leaves the group in good order: what was fetched ahead goes to another member at once.
    pub async fn close(self) {
        let Ok(mut engine) = timeout(CLOSE_LIMIT, self.engine.lock()).await else {
            tracing::debug!("events wait for the end of their lease");
            return;
        };
        match &mut *engine {
            Engine::Log(subscription) => subscription.close().await,
            Engine::Nats(subscription) => subscription.close().await,
        }
    }
}

impl Keep for Engine {
    async fn keep(&mut self) -> Result<(), BrokerError> {
        match self {
            Self::Log(subscription) => subscription.keep().await,
            Self::Nats(subscription) => subscription.keep().await,
        }
    }
}

impl Delivery {
    /// The event is handled, or known.
    pub async fn ack(self) -> Result<(), BrokerError> {
        match self.receipt {
            Receipt::Log(receipt) => receipt.ack().await,
            Receipt::Nats(receipt) => receipt.ack().await,
        }
    }

    /// The event could not be handled: it comes again after a while, unless this was the last try.
    pub async fn fail(self, reason: &str) -> Result<Failed, BrokerError> {
        if self.attempt >= self.policy.attempts {
            return self.bury(reason).await.map(|()| Failed::Dead);
        }
        let wait = self.policy.backoff(self.attempt);
        match self.receipt {
            Receipt::Log(receipt) => receipt.again(wait).await,
            Receipt::Nats(receipt) => receipt.again(wait).await,
        }?;
        Ok(Failed::Waits)
    }

    /// For another member at once: this one stops.
    pub async fn give_back(self) -> Result<(), BrokerError> {
        match self.receipt {
            Receipt::Log(receipt) => receipt.give_back().await,
            Receipt::Nats(receipt) => receipt.give_back().await,
        }
    }

    /// The event will never be handled: to the dead letters.
    pub async fn bury(self, reason: &str) -> Result<(), BrokerError> {
        match self.receipt {
            Receipt::Log(receipt) => receipt.bury(&self.event, reason).await,
            Receipt::Nats(receipt) => receipt.bury(&self.event, reason).await,
        }
    }

    /// The lease begins anew: the work takes long.
    pub async fn extend(&self) -> Result<(), BrokerError> {
        match &self.receipt {
            Receipt::Log(receipt) => receipt.extend(self.policy.lease).await,
            Receipt::Nats(receipt) => receipt.extend().await,
        }
    }

    /// How long the delivery is the receiver's.
    pub fn lease(&self) -> Duration {
        self.policy.lease
    }
}
