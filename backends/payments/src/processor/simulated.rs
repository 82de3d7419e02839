//! A processor that moves no money, keeps its ledger in this service's database, and does to each
//! card what its number says (see [`Behaviour`]).

use std::sync::Arc;
use std::time::Duration;

use shop_platform::{BoxFuture, Clock, Database};
use uuid::Uuid;

use super::behaviour::Behaviour;
use super::{
    Authorization, Charge, DeclineCode, Processor, ProcessorError, Settlement, Standing, ledger,
};
use crate::card::CardNumber;

/// How long the processor thinks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    /// Over every operation.
    pub(crate) always: Duration,
    /// Over the authorization of a slow card, in addition.
    pub(crate) slow: Duration,
}

#[derive(Clone)]
pub(crate) struct Simulated {
    database: Database,
    clock: Arc<dyn Clock>,
    latency: Latency,
}

impl Simulated {
    pub(crate) fn new(database: Database, clock: Arc<dyn Clock>, latency: Latency) -> Self {
        Self { database, clock, latency }
    }

    async fn authorize(&self, charge: &Charge) -> Result<Authorization, ProcessorError> {
        let behaviour = known(&charge.token)?;
        let slow = if behaviour == Behaviour::Slow { self.latency.slow } else { Duration::ZERO };
        // It thinks once: callers who never wait for as long as that learn the answer even so.
        if let Some(first) = self.answered(charge.order).await? {
            return Ok(first);
        }
        pause(self.latency.always + slow).await;
        let now = self.clock.now();
        let mut transaction = self.database.begin_write().await?;
        if let Some(first) = ledger::authorization(&mut transaction, charge.order).await? {
            return Ok(first);
        }
        if behaviour == Behaviour::UnavailableOnce
            && ledger::fault(&mut transaction, charge.order, "authorize").await?
        {
            self.database.commit(transaction, "processor.fault").await?;
            return Err(ProcessorError::Unavailable);
        }
        let outcome = match behaviour {
            Behaviour::Decline(code) => Authorization::Declined(code),
            _ if charge.expiry.has_passed(now) => Authorization::Declined(DeclineCode::ExpiredCard),
            Behaviour::Approve
            | Behaviour::Slow
            | Behaviour::UnavailableOnce
            | Behaviour::CaptureFailsOnce => Authorization::Approved,
        };
        if !ledger::authorize(&mut transaction, charge, outcome, now).await? {
            // Another attempt at the same order was first: its answer is the answer.
            let first = ledger::authorization(&mut transaction, charge.order).await?;
            return first.ok_or(ProcessorError::UnknownCharge(charge.order));
        }
        self.database.commit(transaction, "processor.authorize").await?;
        Ok(outcome)
    }

    /// What an earlier attempt at the same order came to.
    async fn answered(&self, order: Uuid) -> Result<Option<Authorization>, ProcessorError> {
        ledger::authorization(&mut self.database.pool().begin().await?, order).await
    }

    async fn settle(
        &self,
        order: Uuid,
        settlement: Settlement,
    ) -> Result<Standing, ProcessorError> {
        pause(self.latency.always).await;
        let mut transaction = self.database.begin_write().await?;
        let charge = ledger::lock(&mut transaction, order).await?;
        let charge = charge.ok_or(ProcessorError::UnknownCharge(order))?;
        let standing = match (settlement, charge.standing) {
            (Settlement::Capture, None) => Standing::Captured,
            (Settlement::Void, None) => Standing::Voided,
            (Settlement::Refund, Some(Standing::Captured)) => Standing::Refunded,
            // What is held only cannot be given back.
            (Settlement::Refund, None) => return Err(ProcessorError::UnknownCharge(order)),
            (_, Some(standing)) => return Ok(standing),
        };
        if settlement == Settlement::Capture
            && known(&charge.token)? == Behaviour::CaptureFailsOnce
            && ledger::fault(&mut transaction, order, settlement.name()).await?
        {
            self.database.commit(transaction, "processor.fault").await?;
            return Err(ProcessorError::Unavailable);
        }
        ledger::settle(&mut transaction, order, settlement, self.clock.now()).await?;
        let step = match settlement {
            Settlement::Capture => "processor.capture",
            Settlement::Void => "processor.void",
            Settlement::Refund => "processor.refund",
        };
        self.database.commit(transaction, step).await?;
        Ok(standing)
    }
}

impl Processor for Simulated {
    fn tokenize<'a>(
        &'a self,
        number: &'a CardNumber,
    ) -> BoxFuture<'a, Result<String, ProcessorError>> {
        Box::pin(async move {
            pause(self.latency.always).await;
            Ok(Behaviour::of(number).token())
        })
    }

    fn authorize<'a>(
        &'a self,
        charge: &'a Charge,
    ) -> BoxFuture<'a, Result<Authorization, ProcessorError>> {
        let (processor, charge) = (self.clone(), charge.clone());
        Box::pin(async move {
            // As with any processor: whoever hangs up has asked all the same, and learns the
            // answer by asking again.
            let authorizing = tokio::spawn(async move { processor.authorize(&charge).await });
            authorizing.await.unwrap_or(Err(ProcessorError::Unavailable))
        })
    }

    fn settle(
        &self,
        order: Uuid,
        settlement: Settlement,
    ) -> BoxFuture<'_, Result<Standing, ProcessorError>> {
        Box::pin(self.settle(order, settlement))
    }
}

/// No transaction is open meanwhile.
async fn pause(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

fn known(token: &str) -> Result<Behaviour, ProcessorError> {
    Behaviour::of_token(token).ok_or_else(|| ProcessorError::UnknownToken(token.to_owned()))
}
