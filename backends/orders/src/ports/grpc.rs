//! The ports over gRPC: messages made and read, and what a status means for a saga.

use std::time::Duration;

use shop_contracts::inventory::inventory_client::InventoryClient;
use shop_contracts::inventory::{
    self, CommitRequest, QuoteRequest, QuoteResponse, ReleaseRequest, ReserveRequest,
};
use shop_contracts::payments::payments_client::PaymentsClient;
use shop_contracts::payments::{
    self, AuthorizeRequest, CaptureRequest, PaymentReply, PaymentStatus, UndoRequest,
};
use shop_platform::failpoint::Failpoints;
use shop_platform::request::RequestContext;
use shop_platform::{BoxFuture, grpc};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::{Answer, CallError, Inventory, Payments, QuoteError, Undone};
use crate::lines::{Lines, Money, PricedLine, Quote};
use crate::order::{Order, Reason};
use crate::saga::Step;

/// A customer waits for it.
const QUOTE_DEADLINE: Duration = Duration::from_secs(2);

/// The products service, reached by `channel`.
pub(crate) struct GrpcInventory {
    client: InventoryClient<Channel>,
    failpoints: Failpoints,
    deadline: Duration,
}

impl GrpcInventory {
    /// `deadline`: how long a step of a saga waits for its answer.
    pub(crate) fn new(channel: Channel, failpoints: Failpoints, deadline: Duration) -> Self {
        Self { client: InventoryClient::new(channel), failpoints, deadline }
    }
}

impl Inventory for GrpcInventory {
    fn quote<'a>(
        &'a self,
        context: &'a RequestContext,
        lines: &'a Lines,
    ) -> BoxFuture<'a, Result<Quote, QuoteError>> {
        let asked = lines.as_slice().iter().map(|line| inventory::Line {
            product_id: line.product_id.clone(),
            quantity: line.quantity,
        });
        let message = QuoteRequest { lines: asked.collect() };
        let mut client = self.client.clone();
        Box::pin(async move {
            let run = async move |request: Request<QuoteRequest>| client.quote(request).await;
            let (failpoints, step) = (&self.failpoints, "orders.quote");
            let answer = grpc::call(failpoints, step, QUOTE_DEADLINE, context, message, run).await;
            quoted(lines, answer)
        })
    }

    fn reserve<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
        lines: &'a [PricedLine],
        hold: Duration,
    ) -> BoxFuture<'a, Answer<()>> {
        let lines = lines.iter().map(|line| inventory::Line {
            product_id: line.product_id.clone(),
            quantity: line.quantity,
        });
        let message = ReserveRequest {
            reservation_id: order_id.to_string(),
            lines: lines.collect(),
            hold_seconds: u32::try_from(hold.as_secs()).unwrap_or(u32::MAX),
        };
        let mut client = self.client.clone();
        Box::pin(async move {
            let run = async move |request: Request<ReserveRequest>| client.reserve(request).await;
            let (failpoints, step) = (&self.failpoints, Step::Reserve.failpoint());
            let answer = grpc::call(failpoints, step, self.deadline, context, message, run).await;
            done(answer, Reason::OutOfStock)
        })
    }

    fn commit<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<()>> {
        let message = CommitRequest { reservation_id: order_id.to_string() };
        let mut client = self.client.clone();
        Box::pin(async move {
            let run = async move |request: Request<CommitRequest>| client.commit(request).await;
            let (failpoints, step) = (&self.failpoints, Step::CommitStock.failpoint());
            let answer = grpc::call(failpoints, step, self.deadline, context, message, run).await;
            done(answer, Reason::ReservationExpired)
        })
    }

    fn release<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<()>> {
        let message = ReleaseRequest { reservation_id: order_id.to_string() };
        let mut client = self.client.clone();
        Box::pin(async move {
            let run = async move |request: Request<ReleaseRequest>| client.release(request).await;
            let (failpoints, step) = (&self.failpoints, Step::ReleaseStock.failpoint());
            let answer = grpc::call(failpoints, step, self.deadline, context, message, run).await;
            done(answer, Reason::OutOfStock)
        })
    }
}

/// The payments service, reached by `channel`.
pub(crate) struct GrpcPayments {
    client: PaymentsClient<Channel>,
    failpoints: Failpoints,
    deadline: Duration,
}

impl GrpcPayments {
    pub(crate) fn new(channel: Channel, failpoints: Failpoints, deadline: Duration) -> Self {
        Self { client: PaymentsClient::new(channel), failpoints, deadline }
    }
}

impl Payments for GrpcPayments {
    fn authorize<'a>(
        &'a self,
        context: &'a RequestContext,
        order: &'a Order,
    ) -> BoxFuture<'a, Answer<()>> {
        let total = order.total();
        let message = AuthorizeRequest {
            order_id: order.id().to_string(),
            account_id: order.account_id().to_string(),
            amount: Some(payments::Money {
                minor_units: total.minor_units,
                currency: total.currency.clone(),
            }),
            payment_method: order.payment_method().as_str().to_owned(),
        };
        let mut client = self.client.clone();
        Box::pin(async move {
            let run =
                async move |request: Request<AuthorizeRequest>| client.authorize(request).await;
            let (failpoints, step) = (&self.failpoints, Step::Authorize.failpoint());
            let answer = grpc::call(failpoints, step, self.deadline, context, message, run).await;
            paid(answer, &[PaymentStatus::Authorized, PaymentStatus::Captured])
        })
    }

    fn capture<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<()>> {
        let message = CaptureRequest { order_id: order_id.to_string() };
        let mut client = self.client.clone();
        Box::pin(async move {
            let run = async move |request: Request<CaptureRequest>| client.capture(request).await;
            let (failpoints, step) = (&self.failpoints, Step::Capture.failpoint());
            let answer = grpc::call(failpoints, step, self.deadline, context, message, run).await;
            paid(answer, &[PaymentStatus::Captured])
        })
    }

    fn undo<'a>(
        &'a self,
        context: &'a RequestContext,
        order_id: Uuid,
    ) -> BoxFuture<'a, Answer<Undone>> {
        let message = UndoRequest { order_id: order_id.to_string() };
        let mut client = self.client.clone();
        Box::pin(async move {
            let run = async move |request: Request<UndoRequest>| client.undo(request).await;
            let (failpoints, step) = (&self.failpoints, Step::UndoPayment.failpoint());
            let answer = grpc::call(failpoints, step, self.deadline, context, message, run).await;
            undone(answer)
        })
    }
}

fn quoted(asked: &Lines, answer: Result<QuoteResponse, Status>) -> Result<Quote, QuoteError> {
    let answer = answer.map_err(|status| match status.code() {
        code if is_refusal(code) => QuoteError::UnknownProduct,
        code => QuoteError::Unavailable(code),
    })?;
    let money = |money: inventory::Money| {
        let inventory::Money { minor_units, currency } = money;
        Money { minor_units, currency }
    };
    let line = |line: inventory::PricedLine| {
        let inventory::PricedLine { product_id, quantity, unit_price } = line;
        Some(PricedLine { product_id, quantity, unit_price: money(unit_price?) })
    };
    let lines: Option<Vec<PricedLine>> = answer.lines.into_iter().map(line).collect();
    let quote = lines.zip(answer.total.map(money));
    quote.and_then(|(lines, total)| Quote::try_new(asked, lines, total)).ok_or(QuoteError::Nonsense)
}

fn done<T>(answer: Result<T, Status>, refusal: Reason) -> Answer<()> {
    answer.map(drop).map_err(|status| failed(&status, refusal))
}

/// A decline is an answer, and so is that the payment was undone; a payment that is neither where
/// it should be nor at an end leaves doubt.
fn paid(answer: Result<PaymentReply, Status>, enough: &[PaymentStatus]) -> Answer<()> {
    let reply = answer.map_err(|status| failed(&status, Reason::PaymentRefused))?;
    match reply.status() {
        status if enough.contains(&status) => Ok(()),
        PaymentStatus::Declined => Err(CallError::Refused(Reason::declined(&reply.decline_code))),
        PaymentStatus::Voided | PaymentStatus::Refunded => {
            Err(CallError::Refused(Reason::PaymentRefused))
        }
        PaymentStatus::Authorized | PaymentStatus::Captured | PaymentStatus::Unspecified => {
            Err(CallError::InDoubt(Code::Unknown))
        }
    }
}

fn undone(answer: Result<PaymentReply, Status>) -> Answer<Undone> {
    let reply = answer.map_err(|status| failed(&status, Reason::PaymentRefused))?;
    match reply.status() {
        PaymentStatus::Refunded => Ok(Undone { refunded: true }),
        PaymentStatus::Voided | PaymentStatus::Declined => Ok(Undone { refunded: false }),
        PaymentStatus::Authorized | PaymentStatus::Captured | PaymentStatus::Unspecified => {
            Err(CallError::InDoubt(Code::Unknown))
        }
    }
}

fn failed(status: &Status, refusal: Reason) -> CallError {
    let code = status.code();
    if is_refusal(code) { CallError::Refused(refusal) } else { CallError::InDoubt(code) }
}

/// The codes by which a service says that it has understood and will not. All others may come from
/// anything on the way, or leave open what happened.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
    )
}

#[cfg(test)]
mod tests;
