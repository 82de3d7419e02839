//! One event at its receiver, and what the receiver answers.

use super::log::{LogReceipt, LogSubscription};
use super::nats::{NatsReceipt, NatsSubscription};
use super::{BrokerError, Policy};
use crate::event::Event;

/// A member of a group. Dropping it is as a crash: what it holds comes again after the lease.
#[derive(Debug)]
pub struct Subscription {
    engine: Engine,
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
        Self { engine: Engine::Log(Box::new(subscription)) }
    }

    pub(super) fn nats(subscription: NatsSubscription) -> Self {
        Self { engine: Engine::Nats(Box::new(subscription)) }
    }

    /// Waits for the next event. Nothing is lost if the wait is given up, and after an error it
    /// may be called again.
    pub async fn next(&mut self) -> Result<Delivery, BrokerError> {
        match &mut self.engine {
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
        match self.engine {
            Engine::Log(subscription) => subscription.close().await,
            Engine::Nats(subscription) => subscription.close().await,
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
    pub fn lease(&self) -> std::time::Duration {
        self.policy.lease
    }
}
