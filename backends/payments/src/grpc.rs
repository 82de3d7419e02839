//! Payments by gRPC, as `payments.proto` has it: what orders call.
//!
//! A refusal has a short word for its message, which programs may compare: `voided`, `refunded`,
//! `declined`, `not-held`, `other-payment`, and `unknown-payment-method` for what is not found.

use shop_contracts::payments::payments_server::{self, PaymentsServer};
use shop_contracts::payments::{
    AuthorizeRequest, CaptureRequest, PaymentReply, PaymentStatus, UndoRequest,
};
use shop_platform::database::is_transient;
use shop_platform::grpc::{Grpc, context_of};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::money::Money;
use crate::payment::{Payment, State, Terms};
use crate::payments::{PaymentError, Payments, Undone};
use crate::processor::ProcessorError;

/// What the platform serves.
pub(crate) fn serve(payments: Payments) -> Grpc {
    Grpc {
        routes: Routes::new(PaymentsServer::new(Calls { payments })),
        descriptors: shop_contracts::DESCRIPTORS,
        names: &["shop.payments.v1.Payments"],
    }
}

struct Calls {
    payments: Payments,
}

#[tonic::async_trait]
impl payments_server::Payments for Calls {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<PaymentReply>, Status> {
        let context = context_of(request.metadata());
        let request = request.into_inner();
        let order = parse_id("order_id", &request.order_id)?;
        let terms = parse_terms(&request)?;
        let payment = self.payments.authorize(order, &terms, &context).await.map_err(refused)?;
        reply(&payment).map(Response::new)
    }

    async fn capture(
        &self,
        request: Request<CaptureRequest>,
    ) -> Result<Response<PaymentReply>, Status> {
        let context = context_of(request.metadata());
        let order = parse_id("order_id", &request.into_inner().order_id)?;
        let payment = self.payments.capture(order, &context).await.map_err(refused)?;
        reply(&payment).map(Response::new)
    }

    async fn undo(&self, request: Request<UndoRequest>) -> Result<Response<PaymentReply>, Status> {
        let context = context_of(request.metadata());
        let order = parse_id("order_id", &request.into_inner().order_id)?;
        match self.payments.undo(order, &context).await.map_err(refused)? {
            Undone::Payment(payment) => reply(&payment).map(Response::new),
            Undone::Nothing { id } => Ok(Response::new(PaymentReply {
                payment_id: id.to_string(),
                status: PaymentStatus::Voided.into(),
                decline_code: String::new(),
            })),
        }
    }
}

fn parse_terms(request: &AuthorizeRequest) -> Result<Terms, Status> {
    let account = parse_id("account_id", &request.account_id)?;
    let amount = request.amount.as_ref();
    let amount = amount.and_then(|money| Money::try_new(money.minor_units, &money.currency));
    let amount = amount.ok_or_else(|| {
        Status::invalid_argument("amount is no sum of zero to ten billion in some currency")
    })?;
    // What is no id is no method of anyone's.
    let method = Uuid::parse_str(&request.payment_method);
    let method = method.map_err(|_| refused(PaymentError::UnknownMethod))?;
    Ok(Terms { account, method, amount })
}

fn parse_id(field: &str, text: &str) -> Result<Uuid, Status> {
    Uuid::parse_str(text).map_err(|_| Status::invalid_argument(format!("{field} is not a UUID")))
}

fn reply(payment: &Payment) -> Result<PaymentReply, Status> {
    let status = match payment.state {
        // No call ends there.
        State::Authorizing => return Err(Status::unavailable("authorizing")),
        State::Authorized => PaymentStatus::Authorized,
        State::Declined(_) => PaymentStatus::Declined,
        State::Captured => PaymentStatus::Captured,
        State::Voided => PaymentStatus::Voided,
        State::Refunded => PaymentStatus::Refunded,
    };
    let decline_code = payment.state.decline_code().map(|code| code.name().to_owned());
    Ok(PaymentReply {
        payment_id: payment.id.to_string(),
        status: status.into(),
        decline_code: decline_code.unwrap_or_default(),
    })
}

/// What the caller learns. A failure of the service's own is logged: this is the last to see it
/// whole.
fn refused(error: PaymentError) -> Status {
    match &error {
        PaymentError::UnknownMethod => Status::not_found("unknown-payment-method"),
        PaymentError::OtherPayment => Status::failed_precondition("other-payment"),
        PaymentError::Voided => Status::failed_precondition("voided"),
        PaymentError::Refunded => Status::failed_precondition("refunded"),
        PaymentError::Declined => Status::failed_precondition("declined"),
        PaymentError::NotHeld => Status::failed_precondition("not-held"),
        PaymentError::Processor(ProcessorError::Unavailable) => {
            tracing::warn!(%error, "a call failed and may be repeated");
            Status::unavailable("processor")
        }
        PaymentError::Database(failed)
        | PaymentError::Processor(ProcessorError::Database(failed))
            if is_transient(failed) =>
        {
            tracing::warn!(%error, "a call failed and may be repeated");
            Status::unavailable("database")
        }
        PaymentError::Database(_)
        | PaymentError::Disagreement { .. }
        | PaymentError::Processor(
            ProcessorError::Database(_)
            | ProcessorError::UnknownCharge(_)
            | ProcessorError::UnknownToken(_)
            | ProcessorError::Stored(_),
        ) => {
            tracing::error!(%error, "a call failed");
            Status::internal("internal")
        }
    }
}
