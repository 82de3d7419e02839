//! The stock over REST: how much there is, what came in, and the books.

use axum::Extension;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shop_platform::auth::Caller;
use shop_platform::extract::JsonBody;
use shop_platform::idempotency::{self, Claim, IdempotencyKey};
use shop_platform::problem::FieldError;
use shop_platform::{RequestContext, conditional};
use utoipa::ToSchema;

use super::{Api, product_id};
use crate::error::ApiError;
use crate::inventory::stock::{Figures, ProductStock};
use crate::inventory::{self, stock};
use crate::product_id::ProductId;

/// Asked for anew each time, and sent only if it has changed.
const CACHE: &str = "no-cache";
const MAX_SUPPLY: u32 = 1_000_000;

/// How much of a product can be ordered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Available {
    product_id: String,
    available: i64,
}

/// How many pieces of a product can be ordered now
///
/// Nothing is held by asking: only an order tells whether there is stock for it.
#[utoipa::path(
    get,
    path = "/v1/products/{id}/stock",
    tag = "stock",
    params(("id" = String, Path, description = "The product's id", example = "walnut-desk-lamp")),
    responses(
        (status = 200, description = "The pieces", body = Available, headers(
            ("etag" = String, description = "Names this version of the answer"),
        )),
        (status = 304, description = "The answer that `If-None-Match` names has not changed"),
        (status = 404, description = "There is no such product"),
    )
)]
pub(crate) async fn available(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = product_id(id)?;
    let available = stock::available(api.database.pool(), &id).await?.ok_or(ApiError::NotFound)?;
    let body = Available { product_id: id.to_string(), available };
    Ok(conditional::json(&headers, CACHE, &body))
}

/// What came in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Supply {
    /// In pieces.
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: u32,
}

/// Adds what came in to a product's stock
#[utoipa::path(
    post,
    path = "/v1/products/{id}/supply",
    tag = "stock",
    params(
        ("id" = String, Path, description = "The product's id", example = "walnut-desk-lamp"),
        ("Idempotency-Key" = String, Header,
            description = "Chosen by the client, new for each supply: the same key again gets the \
                           first answer again and adds nothing",
            example = "0198f2c1-7d3e-7a44-9c55-3f0b6c1d2e4f"),
    ),
    request_body = Supply,
    security(("token" = ["stock:write"])),
    responses(
        (status = 200, description = "The product's figures with what came in", body = ProductStock),
        (status = 400, description = "The key or the JSON is malformed"),
        (status = 404, description = "There is no such product"),
        (status = 409, description = "A request with this key is being answered"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is not application/json"),
        (status = 422, description = "The body has other fields or values, or the key was used \
                                      with another request"),
    )
)]
pub(crate) async fn supply(
    State(api): State<Api>,
    caller: Caller,
    Extension(context): Extension<RequestContext>,
    id: Result<Path<String>, PathRejection>,
    key: IdempotencyKey,
    JsonBody(body): JsonBody<Supply>,
) -> Result<Response, ApiError> {
    caller.require("stock:write").map_err(ApiError::Refused)?;
    let id = product_id(id)?;
    if !(1..=MAX_SUPPLY).contains(&body.quantity) {
        let message = "must be between 1 and 1000000";
        return Err(ApiError::Fields(vec![FieldError { field: "quantity", message }]));
    }
    add(&api, &caller, &key, &id, body.quantity.into(), &context).await
}

/// The claim of the key, the change and its event are one commit.
async fn add(
    api: &Api,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &ProductId,
    quantity: i64,
    context: &RequestContext,
) -> Result<Response, ApiError> {
    let now = api.clock.now();
    let fingerprint = format!("supply {id} {quantity}");
    let mut transaction = api.database.begin_write().await?;
    let owner = caller.account.to_string();
    let slot = match idempotency::claim(&mut transaction, &owner, key, &fingerprint, now).await? {
        Claim::Known(response) => return Ok(response.into_response()),
        Claim::New(slot) => slot,
    };
    let account = inventory::supply(&mut transaction, id, quantity, now, context).await?;
    let account = account.ok_or(ApiError::NotFound)?;
    let response = slot.keep(&mut transaction, StatusCode::OK, &account).await?;
    api.database.commit(transaction, "stock.supply").await?;
    Ok(response.into_response())
}

/// Where every piece is: by product, and in total.
#[derive(Serialize, ToSchema)]
pub(crate) struct Books {
    products: Vec<ProductStock>,
    /// The sums of the products' figures.
    total: Figures,
}

/// The books: for each product what was supplied, and where it is now
///
/// All figures are of one moment, and in each row `supplied` is the sum of the others.
#[utoipa::path(
    get,
    path = "/v1/stock/books",
    tag = "stock",
    security(("token" = ["books:read"])),
    responses((status = 200, description = "The books", body = Books))
)]
pub(crate) async fn books(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.require("books:read").map_err(ApiError::Refused)?;
    let products = stock::books(api.database.pool()).await?;
    let total = products.iter().map(|account| account.figures).sum();
    Ok(([(CACHE_CONTROL, "no-store")], Json(Books { products, total })).into_response())
}
