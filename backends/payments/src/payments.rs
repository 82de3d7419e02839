//! What is done with the money of an order: held, taken, given back.
//!
//! Each call looks at the order's payment, takes the one step that leads on, and looks again. A
//! step asks the processor, which remembers what it did, and then writes down what it said: the
//! state and the event that tells of it, in one commit. Whoever crashes between the two is
//! continued by the next call, and of two calls at once the processor decides which was first.

use std::sync::Arc;

use shop_platform::{Clock, Database, Event, RequestContext, outbox};
use uuid::Uuid;

use crate::method;
use crate::metrics::PaymentMetrics;
use crate::payment::{self, Payment, Record, State, Terms};
use crate::processor::{Authorization, Charge, Processor, ProcessorError, Settlement, Standing};

mod told;

const SOURCE: &str = "payments";

#[derive(Debug, thiserror::Error)]
pub(crate) enum PaymentError {
    #[error("the account has no such payment method")]
    UnknownMethod,
    #[error("the order has a payment on other terms")]
    OtherPayment,
    #[error("the order's payment was voided")]
    Voided,
    #[error("the order's payment was refunded")]
    Refunded,
    #[error("the order's payment was declined")]
    Declined,
    #[error("nothing is held for the order")]
    NotHeld,
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error("the processor says {standing:?} of what is {name}", name = .state.name())]
    Disagreement { state: State, standing: Standing },
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// What was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undone {
    /// As it stands now: voided, refunded, or declined before.
    Payment(Payment),
    /// There was nothing, and there will not be.
    Nothing { id: Uuid },
}

/// The payments of orders.
#[derive(Clone)]
pub(crate) struct Payments {
    database: Database,
    clock: Arc<dyn Clock>,
    processor: Arc<dyn Processor>,
    metrics: PaymentMetrics,
}

impl Payments {
    pub(crate) fn new(
        database: Database,
        clock: Arc<dyn Clock>,
        processor: Arc<dyn Processor>,
        metrics: PaymentMetrics,
    ) -> Self {
        Self { database, clock, processor, metrics }
    }

    /// Holds an amount. A decline is an answer: the payment's state tells it.
    pub(crate) async fn authorize(
        &self,
        order: Uuid,
        terms: &Terms,
        context: &RequestContext,
    ) -> Result<Payment, PaymentError> {
        loop {
            let payment = match payment::find(self.database.pool(), order).await? {
                None => {
                    self.begin(order, terms).await?;
                    continue;
                }
                Some(Record::Tombstone { .. }) => return Err(PaymentError::Voided),
                Some(Record::Payment(payment)) => payment,
            };
            if payment.terms != *terms {
                return Err(PaymentError::OtherPayment);
            }
            match payment.state {
                State::Authorizing => self.resolve(&payment, context).await?,
                State::Authorized | State::Declined(_) | State::Captured => return Ok(payment),
                State::Voided => return Err(PaymentError::Voided),
                State::Refunded => return Err(PaymentError::Refunded),
            }
        }
    }

    /// Takes what is held.
    pub(crate) async fn capture(
        &self,
        order: Uuid,
        context: &RequestContext,
    ) -> Result<Payment, PaymentError> {
        loop {
            let payment = match payment::find(self.database.pool(), order).await? {
                None => return Err(PaymentError::NotHeld),
                Some(Record::Tombstone { .. }) => return Err(PaymentError::Voided),
                Some(Record::Payment(payment)) => payment,
            };
            match payment.state {
                State::Captured => return Ok(payment),
                State::Authorized => self.settle(&payment, Settlement::Capture, context).await?,
                State::Authorizing => return Err(PaymentError::NotHeld),
                State::Declined(_) => return Err(PaymentError::Declined),
                State::Voided => return Err(PaymentError::Voided),
                State::Refunded => return Err(PaymentError::Refunded),
            }
        }
    }

    /// Undoes whatever was done. What is in doubt is brought to an end first: only by asking once
    /// more is it known what the processor did, and only what is known can be undone.
    pub(crate) async fn undo(
        &self,
        order: Uuid,
        context: &RequestContext,
    ) -> Result<Undone, PaymentError> {
        loop {
            let payment = match payment::find(self.database.pool(), order).await? {
                None => {
                    self.bury(order).await?;
                    continue;
                }
                Some(Record::Tombstone { id }) => return Ok(Undone::Nothing { id }),
                Some(Record::Payment(payment)) => payment,
            };
            match payment.state {
                State::Authorizing => self.resolve(&payment, context).await?,
                State::Authorized => self.settle(&payment, Settlement::Void, context).await?,
                State::Captured => self.settle(&payment, Settlement::Refund, context).await?,
                State::Declined(_) | State::Voided | State::Refunded => {
                    return Ok(Undone::Payment(payment));
                }
            }
        }
    }

    /// From here on somebody knows that the processor may have been asked.
    async fn begin(&self, order: Uuid, terms: &Terms) -> Result<(), PaymentError> {
        let method = method::find(self.database.pool(), terms.account, terms.method).await?;
        method.ok_or(PaymentError::UnknownMethod)?;
        let mut transaction = self.database.begin_write().await?;
        payment::begin(&mut transaction, order, terms, self.clock.now()).await?;
        Ok(self.database.commit(transaction, "payment.begin").await?)
    }

    async fn bury(&self, order: Uuid) -> Result<(), PaymentError> {
        let mut transaction = self.database.begin_write().await?;
        payment::bury(&mut transaction, order, self.clock.now()).await?;
        Ok(self.database.commit(transaction, "payment.bury").await?)
    }

    /// Asks the processor, perhaps once more, to hold the amount, and writes down its answer.
    async fn resolve(
        &self,
        payment: &Payment,
        context: &RequestContext,
    ) -> Result<(), PaymentError> {
        let Terms { account, method, amount } = payment.terms.clone();
        let method = method::find(self.database.pool(), account, method).await?;
        let method = method.ok_or(PaymentError::UnknownMethod)?;
        let (token, expiry) = (method.token, method.expiry);
        let charge = Charge { order: payment.order, token, expiry, amount };
        match self.processor.authorize(&charge).await? {
            Authorization::Approved => self.advance(payment, State::Authorized, context).await,
            Authorization::Declined(code) => {
                self.advance(payment, State::Declined(code), context).await
            }
        }
    }

    /// Asks the processor to settle, and writes down where the charge stands: that may be
    /// elsewhere, if another call was faster.
    async fn settle(
        &self,
        payment: &Payment,
        settlement: Settlement,
        context: &RequestContext,
    ) -> Result<(), PaymentError> {
        let standing = self.processor.settle(payment.order, settlement).await?;
        let to = match (payment.state, standing) {
            // A refund comes after a capture: its call has written that down, or died before.
            (State::Authorized, Standing::Captured | Standing::Refunded) => State::Captured,
            (State::Authorized, Standing::Voided) => State::Voided,
            (State::Captured, Standing::Refunded) => State::Refunded,
            (state, standing) => return Err(PaymentError::Disagreement { state, standing }),
        };
        self.advance(payment, to, context).await
    }

    /// Changes the state, unless it has been changed meanwhile: whoever looks again finds out.
    async fn advance(
        &self,
        payment: &Payment,
        to: State,
        context: &RequestContext,
    ) -> Result<(), PaymentError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin_write().await?;
        if !payment::advance(&mut transaction, payment.order, payment.state, to, now).await? {
            return Ok(());
        }
        if let Some(told) = told::told(payment, to) {
            // Events of an order stay in order by it.
            let subject = payment.order.to_string();
            let event = Event::new(SOURCE, told.kind, subject, now, &told.data, context);
            outbox::add(&mut transaction, &event).await?;
        }
        self.database.commit(transaction, step(to)).await?;
        self.metrics.reached(to);
        Ok(())
    }
}

fn step(to: State) -> &'static str {
    match to {
        State::Authorizing => "payment.begin",
        State::Authorized => "payment.authorize",
        State::Declined(_) => "payment.decline",
        State::Captured => "payment.capture",
        State::Voided => "payment.void",
        State::Refunded => "payment.refund",
    }
}

#[cfg(test)]
mod tests;
