//! Requests that change orders.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shop_platform::extract::JsonBody;
use shop_platform::idempotency::{IdempotencyKey, StoredResponse, fingerprint};
use shop_platform::problem::{FieldError, ProblemBody};
use shop_platform::request::RequestContext;
use utoipa::ToSchema;
use uuid::Uuid;

use super::document::{BodyProblems, KeyProblems, NoSuchOrder, Problems};
use super::{App, Customer, OrderId};
use crate::error::ApiError;
use crate::lines::{Line, Lines, PaymentMethod};
use crate::orders::{NewOrder, Once};
use crate::view::OrderDocument;

const MAX_COMPLAINT: usize = 1000;

/// An order to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrder)]
pub(super) struct NewOrderDocument {
    /// Each of another product.
    #[schema(min_items = 1, max_items = 50)]
    lines: Vec<Line>,
    /// As POST /v1/payment-methods gave it.
    #[schema(min_length = 1, max_length = 100)]
    payment_method: String,
}

impl NewOrderDocument {
    /// Everything wrong is named at once.
    fn parse(self) -> Result<NewOrder, ApiError> {
        let lines = Lines::try_new(self.lines);
        let payment_method = PaymentMethod::try_new(self.payment_method);
        match (lines, payment_method) {
            (Ok(lines), Ok(payment_method)) => Ok(NewOrder { lines, payment_method }),
            (lines, payment_method) => {
                let errors = lines.err().into_iter().chain(payment_method.err());
                Err(ApiError::Fields(errors.collect()))
            }
        }
    }
}

/// Places an order.
///
/// The prices are those of now. The answer comes before stock and payment are seen to: follow
/// `Location` for how it goes.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders",
    params(("Idempotency-Key" = String, Header, description = "New for each order")),
    request_body = NewOrderDocument,
    responses(
        (status = 202, description = "Placed", body = OrderDocument,
         headers(("Location" = String, description = "The order"))),
        Problems, KeyProblems, BodyProblems,
    ),
    security(("bearer" = ["customer"])),
)]
pub(super) async fn place(
    State(App(orders)): State<App>,
    Customer(account_id): Customer,
    key: IdempotencyKey,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<NewOrderDocument>,
) -> Result<Response, ApiError> {
    let fingerprint = fingerprint("POST", "/v1/orders", &body);
    let new = body.parse()?;
    let once = Once { account_id, key: &key, fingerprint: &fingerprint, context: &context };
    let stored = orders.place(once, &new).await?;
    Ok(accepted(stored))
}

/// Cancels an order.
///
/// What was done for it is undone, money that was taken is given back. An order that is being
/// cancelled already, or was, is answered as it is.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "New for each wish to cancel"),
    ),
    responses(
        (status = 202, description = "Being cancelled", body = OrderDocument,
         headers(("Location" = String, description = "The order"))),
        Problems, KeyProblems, NoSuchOrder,
    ),
    security(("bearer" = ["customer"])),
)]
pub(super) async fn cancel(
    State(App(orders)): State<App>,
    Customer(account_id): Customer,
    OrderId(id): OrderId,
    key: IdempotencyKey,
    Extension(context): Extension<RequestContext>,
) -> Result<Response, ApiError> {
    let fingerprint = fingerprint("POST", &format!("/v1/orders/{id}/cancel"), &());
    let once = Once { account_id, key: &key, fingerprint: &fingerprint, context: &context };
    let stored = orders.cancel(once, id).await?;
    Ok(accepted(stored))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewComplaint)]
pub(super) struct ComplaintDocument {
    #[schema(min_length = 1, max_length = 1000)]
    text: String,
}

/// Files a complaint about an order.
///
/// The same text again is the same complaint.
#[utoipa::path(
    post, path = "/v1/orders/{id}/complaints", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "New for each complaint"),
    ),
    request_body = ComplaintDocument,
    responses(
        (status = 201, description = "Filed", body = OrderDocument),
        Problems, BodyProblems, NoSuchOrder,
        (status = 409, description = "The order has as many complaints as are kept, or a request \
         with the same key is being worked on",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["customer"])),
)]
pub(super) async fn complain(
    State(App(orders)): State<App>,
    Customer(account_id): Customer,
    OrderId(id): OrderId,
    key: IdempotencyKey,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<ComplaintDocument>,
) -> Result<Response, ApiError> {
    let text = body.text.trim();
    if !(1..=MAX_COMPLAINT).contains(&text.chars().count()) || text.contains('\0') {
        let message = "must have 1 to 1000 characters";
        return Err(ApiError::Fields(vec![FieldError { field: "text", message }]));
    }
    let fingerprint = fingerprint("POST", &format!("/v1/orders/{id}/complaints"), &text);
    let once = Once { account_id, key: &key, fingerprint: &fingerprint, context: &context };
    let mut response = orders.complain(once, id, text).await?.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The answer to a request that is answered once, with the way to its order.
fn accepted(stored: StoredResponse) -> Response {
    #[derive(Deserialize)]
    struct Named {
        id: Uuid,
    }
    let named: Result<Named, _> = serde_json::from_str(&stored.body);
    let mut response = stored.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(Named { id }) = named
        && let Ok(location) = HeaderValue::try_from(format!("/v1/orders/{id}"))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
