//! Payments over REST: what a customer may see of them. They are made by orders.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shop_platform::auth::Caller;
use shop_platform::extract::QueryParameters;
use shop_platform::page::Limit;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Api, CUSTOMER, NOT_CACHED};
use crate::error::ApiError;
use crate::money::Money;
use crate::payment::{self, Payment, Record};

/// Which payments to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RawPage {
    /// How many at most; 20 if it is absent.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[param(nullable = false)]
    before: Option<Uuid>,
}

/// A payment as it is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct PaymentView {
    id: Uuid,
    order_id: Uuid,
    amount: Money,
    /// `authorizing`, `authorized`, `captured`, `declined`, `voided` or `refunded`.
    status: &'static str,
    /// Of a declined payment: `insufficient_funds`, `card_declined`, `expired_card` or
    /// `fraud_suspected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    decline_code: Option<&'static str>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    changed_at: String,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        Self {
            id: payment.id,
            order_id: payment.order,
            amount: payment.terms.amount,
            status: payment.state.name(),
            decline_code: payment.state.decline_code().map(|code| code.name()),
            created_at: payment.created_at.to_string(),
            changed_at: payment.changed_at.to_string(),
        }
    }
}

/// A page of payments.
#[derive(Serialize, ToSchema)]
pub(crate) struct Payments {
    /// The latest first.
    items: Vec<PaymentView>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<Uuid>,
}

/// The account's payments, the latest first
#[utoipa::path(
    get,
    path = "/v1/payments",
    tag = "payments",
    params(RawPage),
    security(("token" = ["customer"])),
    responses(
        (status = 200, description = "The page", body = Payments),
        (status = 400, description = "A parameter is unknown or not acceptable"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    QueryParameters(page): QueryParameters<RawPage>,
) -> Result<Response, ApiError> {
    caller.require(CUSTOMER).map_err(ApiError::Refused)?;
    let limit = Limit::try_new(page.limit).map_err(|wrong| ApiError::Parameters(vec![wrong]))?;
    let pool = api.database.pool();
    let mut found = payment::list(pool, caller.account, page.before, limit.with_next()).await?;
    let next = limit.cut(&mut found).map(|payment| payment.id);
    let items = found.into_iter().map(PaymentView::from).collect();
    Ok((NOT_CACHED, Json(Payments { items, next })).into_response())
}

/// The payment of one of the account's orders
#[utoipa::path(
    get,
    path = "/v1/payments/{order_id}",
    tag = "payments",
    params(("order_id" = Uuid, Path, description = "The order's id")),
    security(("token" = ["customer"])),
    responses(
        (status = 200, description = "The payment", body = PaymentView),
        (status = 404, description = "The account has no payment for such an order"),
    )
)]
pub(crate) async fn of_order(
    State(api): State<Api>,
    caller: Caller,
    order: Result<Path<Uuid>, PathRejection>,
) -> Result<Response, ApiError> {
    caller.require(CUSTOMER).map_err(ApiError::Refused)?;
    // What is no id names nothing we have.
    let Path(order) = order.map_err(|_| ApiError::NotFound)?;
    match payment::find(api.database.pool(), order).await? {
        Some(Record::Payment(payment)) if payment.terms.account == caller.account => {
            Ok((NOT_CACHED, Json(PaymentView::from(payment))).into_response())
        }
        // Another's payment is none, as far as its id can tell.
        Some(Record::Payment(_) | Record::Tombstone { .. }) | None => Err(ApiError::NotFound),
    }
}
