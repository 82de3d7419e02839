//! What orders ask of the services for stock and for money, in the words of this service.
//!
//! Every call names the order and may be repeated. An answer is either that it is done, or that it
//! was refused, once and for all; everything else is a doubt. [`grpc`] asks the real services; the
//! tests bring services of their own.

use std::time::Duration;

use shop_platform::{BoxFuture, RequestContext};
use uuid::Uuid;

use crate::lines::{Lines, PricedLine, Quote};
use crate::order::{Order, Reason};

mod grpc;

pub(crate) use grpc::{GrpcInventory, GrpcPayments};

/// The answer to a step of a saga.
pub(crate) type Answer<T> = Result<T, CallError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// It did not happen, and will not.
    #[error("refused: {0:?}")]
    Refused(Reason),
    /// It may have happened, or happen yet. The code is for the log.
    #[error("no answer ({0:?})")]
    InDoubt(tonic::Code),
}

/// Why there is no quote. Nothing has happened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuoteError {
    #[error("a product is not known")]
    UnknownProduct,
    #[error("the products service does not answer ({0:?})")]
    Unavailable(tonic::Code),
    /// The answer is not to the question, or its sum is wrong.
    #[error("the quote makes no sense")]
    Nonsense,
}

/// What was given back by undoing a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undone {
    /// Money had been taken; otherwise it was held at most.
    pub(crate) refunded: bool,
}

/// The products service's stock.
pub(crate) trait Inventory: Send + Sync + 'static {
    fn quote<'a>(
        &'a self,
        context: &'a RequestContext,
        lines: &'a Lines,
    ) -> BoxFuture<'a, Result<Quote, QuoteError>>;

    /// Holds all of `lines` for a while, or nothing.
    fn reserve<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
        lines: &'a [PricedLine],
        hold: Duration,
    ) -> BoxFuture<'a, Answer<()>>;

    /// Sells what is held.
    fn commit<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<()>>;

    /// Gives back what is held or was sold, and refuses whatever may still be on its way.
    fn release<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<()>>;
}

/// The payments service.
pub(crate) trait Payments: Send + Sync + 'static {
    /// Holds the order's total on the customer's payment method.
    fn authorize<'a>(
        &'a self,
        context: &'a RequestContext,
        order: &'a Order,
    ) -> BoxFuture<'a, Answer<()>>;

    /// Takes what is held.
    fn capture<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<()>>;

    /// Gives back what is held or was taken, and refuses whatever may still be on its way.
    fn undo<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<Undone>>;
}
