//! Requests that look at orders.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shop_platform::conditional;
use shop_platform::extract::QueryParameters;
use shop_platform::page::Limit;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::document::{NoSuchOrder, Problems};
use super::{App, Auditor, Customer, OrderId};
use crate::error::ApiError;
use crate::orders::Orders;
use crate::prefer::{self, PREFERENCE_APPLIED};
use crate::sagas::{self, Unfinished};
use crate::store;
use crate::view::{self, OrderDocument, StateSum};

/// Each customer's own, and never without asking whether it is still so.
const CACHE: &str = "private, no-cache";
/// How often to look at an order that another process may be driving.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Orders on the page; 20 if it is not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The last order of the page before.
    before: Option<Uuid>,
}

/// A page of orders, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Orders)]
pub(super) struct ListDocument {
    items: Vec<OrderDocument>,
    /// Where the next page is, if there is one; the `Link` header has it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The customer's orders, the newest first.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders",
    params(ListParameters),
    responses(
        (status = 200, description = "A page of orders", body = ListDocument,
         headers(("Link" = String, description = "The next page (RFC 8288), if there is one"))),
        Problems,
    ),
    security(("bearer" = ["customer"])),
)]
pub(super) async fn list(
    State(App(orders)): State<App>,
    Customer(account_id): Customer,
    QueryParameters(parameters): QueryParameters<ListParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let limit = Limit::try_new(parameters.limit);
    let limit = limit.map_err(|wrong| ApiError::Parameters(vec![wrong]))?;
    let mut connection = orders.database.pool().acquire().await?;
    let most = i64::from(limit.with_next());
    let mut items = view::list(&mut connection, account_id, parameters.before, most).await?;
    let last = limit.cut(&mut items);
    let next = last.map(|last| format!("/v1/orders?limit={}&before={}", limit.get(), last.id));
    let link = next.as_ref().map(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")));
    let mut response = conditional::json(&headers, CACHE, &ListDocument { items, next });
    if let Some(Ok(link)) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// One of the customer's orders.
///
/// With `Prefer: wait=5` (RFC 7240) the answer waits for the order to be confirmed or cancelled,
/// so many seconds at most.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order"),
        ("Prefer" = Option<String>, Header, description = "wait=SECONDS"),
    ),
    responses(
        (status = 200, description = "The order as it is", body = OrderDocument),
        Problems, NoSuchOrder,
    ),
    security(("bearer" = ["customer"])),
)]
pub(super) async fn order(
    State(App(orders)): State<App>,
    Customer(account_id): Customer,
    OrderId(id): OrderId,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wait = prefer::wait(&headers).map(|wait| wait.min(orders.longest_wait));
    let found = find_ended(&orders, account_id, id, wait.unwrap_or_default()).await?;
    let document = found.ok_or(ApiError::NotFound)?;
    let mut response = conditional::json(&headers, CACHE, &document);
    if let Some(wait) = wait {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs()));
        if let Ok(applied) = applied {
            response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        }
    }
    Ok(response)
}

/// The order, as soon as it is at an end, or else as it is after `wait`.
async fn find_ended(
    orders: &Orders,
    account_id: Uuid,
    id: Uuid,
    wait: Duration,
) -> Result<Option<OrderDocument>, ApiError> {
    let until = Instant::now() + wait;
    loop {
        // Before looking: an end that comes after is not missed.
        let ended = orders.waiting.ended(id);
        let found = {
            let mut connection = orders.database.pool().acquire().await?;
            view::find(&mut connection, account_id, id).await?
        };
        let now = Instant::now();
        if now >= until || found.as_ref().is_none_or(|order| order.state.is_final()) {
            return Ok(found);
        }
        // Whether it rang or not, the order is looked at.
        drop(timeout_at(until.min(now + LOOK), ended).await);
    }
}

/// What happened to an order, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = History)]
pub(super) struct HistoryDocument {
    items: Vec<EventDocument>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEvent)]
pub(super) struct EventDocument {
    version: i64,
    kind: String,
    /// RFC 3339.
    at: String,
    /// By its kind.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// What happened to one of the customer's orders.
#[utoipa::path(
    get, path = "/v1/orders/{id}/events", tag = "orders",
    params(("id" = Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "Its events, the oldest first", body = HistoryDocument),
        Problems, NoSuchOrder,
    ),
    security(("bearer" = ["customer"])),
)]
pub(super) async fn history(
    State(App(orders)): State<App>,
    Customer(account_id): Customer,
    OrderId(id): OrderId,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut connection = orders.database.pool().acquire().await?;
    view::find(&mut connection, account_id, id).await?.ok_or(ApiError::NotFound)?;
    let recorded = store::history(&mut connection, id, 0).await?;
    let items = recorded.into_iter().map(|recorded| EventDocument {
        version: recorded.version,
        kind: recorded.event.kind().to_owned(),
        at: recorded.at.to_string(),
        data: recorded.event.data(),
    });
    Ok(conditional::json(&headers, CACHE, &HistoryDocument { items: items.collect() }))
}

/// The orders of all customers, counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Books)]
pub(super) struct BooksDocument {
    /// By state and currency.
    orders: Vec<StateSum>,
    /// Orders that are neither confirmed nor cancelled, by where they go.
    unfinished_sagas: Unfinished,
}

/// The orders of all customers, counted: for audits.
#[utoipa::path(
    get, path = "/v1/orders/books", tag = "books",
    responses(
        (status = 200, description = "The sums of one moment", body = BooksDocument),
        Problems,
    ),
    security(("bearer" = ["books:read"])),
)]
pub(super) async fn books(
    State(App(orders)): State<App>,
    _: Auditor,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut transaction = orders.database.pool().begin().await?;
    let books = BooksDocument {
        orders: view::sums(&mut transaction).await?,
        unfinished_sagas: sagas::unfinished(&mut transaction).await?,
    };
    transaction.commit().await?;
    Ok(conditional::json(&headers, CACHE, &books))
}
