//! What customers do with orders: place, cancel, complain. Each is one transaction, with the answer
//! that is kept for the same request sent again.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use shop_platform::auth::Verifier;
use shop_platform::idempotency::{self, Claim, IdempotencyKey, StoredResponse};
use shop_platform::request::RequestContext;
use shop_platform::{Clock, Database, Transaction, UnixTime, outbox};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::ApiError;
use crate::events;
use crate::lines::{Lines, PaymentMethod};
use crate::metrics::OrderMetrics;
use crate::order::{Command, OrderEvent, Placed, Reason, State};
use crate::ports::Inventory;
use crate::saga::Step;
use crate::sagas;
use crate::store::{self, StoreError};
use crate::view::OrderDocument;
use crate::waiting::Waiting;

/// What the handlers share.
pub(crate) struct Orders {
    pub(crate) database: Database,
    pub(crate) inventory: Arc<dyn Inventory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) verifier: Verifier,
    /// Rings when a saga is due.
    pub(crate) due: Arc<Notify>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) metrics: OrderMetrics,
    /// How long a saga goes forward.
    pub(crate) saga_deadline: Duration,
    /// How long a request may wait for an order's end.
    pub(crate) longest_wait: Duration,
}

/// An order to be, as its customer asked for it.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    pub(crate) lines: Lines,
    pub(crate) payment_method: PaymentMethod,
}

/// A request that is answered once: whose it is, its key, and what it asks.
#[derive(Clone, Copy)]
pub(crate) struct Once<'a> {
    pub(crate) account_id: Uuid,
    pub(crate) key: &'a IdempotencyKey,
    pub(crate) fingerprint: &'a str,
    pub(crate) context: &'a RequestContext,
}

impl Once<'_> {
    async fn claim(&self, transaction: &mut Transaction, now: UnixTime) -> Result<Claim, ApiError> {
        let owner = self.account_id.to_string();
        let claimed =
            idempotency::claim(transaction, &owner, self.key, self.fingerprint, now).await;
        Ok(claimed?)
    }
}

impl Orders {
    /// Asks for the prices and places the order at them.
    pub(crate) async fn place(
        &self,
        once: Once<'_>,
        new: &NewOrder,
    ) -> Result<StoredResponse, ApiError> {
        let quote = match self.inventory.quote(once.context, &new.lines).await {
            Ok(quote) => quote,
            // Whoever repeats an order that was placed is owed the answer, prices or not.
            Err(error) => return self.known(once).await?.ok_or(ApiError::Quote(error)),
        };
        let (lines, total) = quote.into_parts();
        let (order_id, now) = (Uuid::now_v7(), self.clock.now());
        let mut transaction = self.database.begin_write().await?;
        let slot = match once.claim(&mut transaction, now).await? {
            Claim::Known(response) => return Ok(response),
            Claim::New(slot) => slot,
        };
        let payment_method = new.payment_method.clone();
        let placed = Placed { account_id: once.account_id, lines, total, payment_method };
        let event = OrderEvent::Placed(placed);
        let order = store::place(&mut transaction, order_id, &event, now).await?;
        let (step, limit) = (Step::Reserve, self.saga_deadline);
        sagas::start(&mut transaction, order_id, step, now, limit, once.context).await?;
        outbox::add(&mut transaction, &events::placed(&order, now, once.context)).await?;
        let document = OrderDocument::of(&order);
        let response = slot.keep(&mut transaction, StatusCode::ACCEPTED, &document).await?;
        self.database.commit(transaction, "orders.place").await?;
        self.due.notify_one();
        self.metrics.placed();
        tracing::info!(%order_id, lines = order.lines().len(), "an order was placed");
        Ok(response)
    }

    /// The answer that was kept, if there is one.
    async fn known(&self, once: Once<'_>) -> Result<Option<StoredResponse>, ApiError> {
        let mut transaction = self.database.begin_write().await?;
        match once.claim(&mut transaction, self.clock.now()).await? {
            Claim::Known(response) => Ok(Some(response)),
            // Given up with the transaction.
            Claim::New(_) => Ok(None),
        }
    }

    /// Cancels an order: one that is not confirmed yet turns round where it is, one that is begins
    /// to be undone. Of an order that is being cancelled already nothing more is asked.
    pub(crate) async fn cancel(
        &self,
        once: Once<'_>,
        order_id: Uuid,
    ) -> Result<StoredResponse, ApiError> {
        for _ in 0..store::TRIES {
            match self.try_cancel(once, order_id).await {
                Err(ApiError::Store(StoreError::Conflict)) => {}
                answered => return answered,
            }
        }
        Err(ApiError::Store(StoreError::Conflict))
    }

    async fn try_cancel(&self, once: Once<'_>, order_id: Uuid) -> Result<StoredResponse, ApiError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin_write().await?;
        let slot = match once.claim(&mut transaction, now).await? {
            Claim::Known(response) => return Ok(response),
            Claim::New(slot) => slot,
        };
        sagas::lock(&mut transaction, order_id).await?;
        let order = store::load(&mut transaction, order_id).await?;
        let order = order.filter(|order| order.account_id() == once.account_id);
        let mut order = order.ok_or(ApiError::NotFound)?;
        let was = order.state();
        let commands = [Command::Cancel(Reason::Customer)];
        store::execute(&mut transaction, &mut order, commands, now).await?;
        match was {
            State::Pending => drop(sagas::wake(&mut transaction, order_id, now).await?),
            State::Confirmed => {
                let (step, limit) = (Step::UndoPayment, self.saga_deadline);
                sagas::start(&mut transaction, order_id, step, now, limit, once.context).await?;
            }
            State::Cancelling | State::Cancelled => {}
        }
        let document = OrderDocument::of(&order);
        let response = slot.keep(&mut transaction, StatusCode::ACCEPTED, &document).await?;
        self.database.commit(transaction, "orders.cancel").await?;
        self.due.notify_one();
        tracing::info!(%order_id, was = was.as_str(), "an order was cancelled by its customer");
        Ok(response)
    }

    /// Files a complaint. The same text again, by another key, is the same complaint.
    pub(crate) async fn complain(
        &self,
        once: Once<'_>,
        order_id: Uuid,
        text: &str,
    ) -> Result<StoredResponse, ApiError> {
        for _ in 0..store::TRIES {
            match self.try_complain(once, order_id, text).await {
                Err(ApiError::Store(StoreError::Conflict)) => {}
                answered => return answered,
            }
        }
        Err(ApiError::Store(StoreError::Conflict))
    }

    async fn try_complain(
        &self,
        once: Once<'_>,
        order_id: Uuid,
        text: &str,
    ) -> Result<StoredResponse, ApiError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin_write().await?;
        let slot = match once.claim(&mut transaction, now).await? {
            Claim::Known(response) => return Ok(response),
            Claim::New(slot) => slot,
        };
        let order = store::load(&mut transaction, order_id).await?;
        let order = order.filter(|order| order.account_id() == once.account_id);
        let mut order = order.ok_or(ApiError::NotFound)?;
        let commands = [Command::Complain(text.to_owned())];
        store::execute(&mut transaction, &mut order, commands, now).await?;
        let document = OrderDocument::of(&order);
        let response = slot.keep(&mut transaction, StatusCode::CREATED, &document).await?;
        self.database.commit(transaction, "orders.complain").await?;
        Ok(response)
    }
}
