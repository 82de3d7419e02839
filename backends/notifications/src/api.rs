//! The routes: what comes in, which steps it takes, what goes out.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use shop_platform::auth::Caller;
use shop_platform::extract::QueryParameters;
use shop_platform::idempotency::{self, Claim, IdempotencyKey};
use shop_platform::page::Limit;
use shop_platform::problem::ProblemBody;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::ApiError;
use crate::failures::Failures;
use crate::messages;
use crate::notification::Notification;
use crate::state::App;

pub(crate) mod feed;

/// The scope of a token that a customer's own things can be seen with.
const CUSTOMER: &str = "customer";
const NOT_CACHED: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/notifications", get(list))
        .route("/v1/notifications/counts", get(counts))
        .route("/v1/notifications/{id}/read", post(read))
        .route("/v1/feed", get(feed::open))
        .with_state(app)
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParameters {
    /// How many at most: 20 unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next` of the page before: notifications older than that one.
    before: Option<Uuid>,
    /// Only those that are unread.
    unread: Option<bool>,
}

/// Newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Page {
    items: Vec<Notification>,
    /// The `before` of the next page; null on the last.
    next: Option<Uuid>,
}

/// The caller's notifications, newest first.
#[utoipa::path(
    get,
    path = "/v1/notifications",
    tag = "notifications",
    params(ListParameters),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of them", body = Page),
        Failures,
    )
)]
async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<ListParameters>,
) -> Result<Response, ApiError> {
    caller.require(CUSTOMER)?;
    let limit = Limit::try_new(parameters.limit);
    let limit = limit.map_err(|wrong| ApiError::Parameters(vec![wrong]))?;
    let before = match parameters.before {
        None => None,
        Some(id) => {
            let place = app.messages.place(caller.account, id).await?;
            Some(place.ok_or_else(|| ApiError::unknown_place("before"))?)
        }
    };
    let unread_only = parameters.unread.unwrap_or(false);
    let found = app.messages.before(caller.account, before, unread_only, limit.with_next());
    let mut items: Vec<Notification> = found.await?.into_iter().map(Notification::from).collect();
    let next = limit.cut(&mut items).map(|last| last.id);
    Ok((NOT_CACHED, Json(Page { items, next })).into_response())
}

#[derive(Debug, Serialize, ToSchema)]
struct Counted {
    #[schema(minimum = 0)]
    total: i64,
    #[schema(minimum = 0)]
    unread: i64,
}

/// How many notifications the caller has.
#[utoipa::path(
    get,
    path = "/v1/notifications/counts",
    tag = "notifications",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "All of them, and those unread", body = Counted),
        Failures,
    )
)]
async fn counts(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(CUSTOMER)?;
    let counts = app.messages.counts(caller.account).await?;
    let counted = Counted { total: counts.total, unread: counts.unread };
    Ok((NOT_CACHED, Json(counted)).into_response())
}

/// Marks a notification as read; one that is keeps its time.
#[utoipa::path(
    post,
    path = "/v1/notifications/{id}/read",
    tag = "notifications",
    params(
        ("id" = String, Path, description = "The notification's id"),
        ("Idempotency-Key" = String, Header, description = "A key of the client's own for this request"),
    ),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The notification as it is now", body = Notification),
        (status = 404, description = "The caller has no such notification", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 409, description = "A request with this key is being worked on", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 422, description = "The key belongs to another request", body = ProblemBody,
         content_type = "application/problem+json"),
        Failures,
    )
)]
async fn read(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    key: IdempotencyKey,
) -> Result<Response, ApiError> {
    caller.require(CUSTOMER)?;
    // What is no id names nothing we have.
    let id = id.ok().and_then(|Path(id)| Uuid::parse_str(&id).ok()).ok_or(ApiError::NotFound)?;
    let (owner, now) = (caller.account.to_string(), app.clock.now());
    let request = format!("POST /v1/notifications/{id}/read");
    let mut transaction = app.database.begin_write().await?;
    let slot = match idempotency::claim(&mut transaction, &owner, &key, &request, now).await? {
        Claim::Known(response) => return Ok(response.into_response()),
        Claim::New(slot) => slot,
    };
    let message = messages::mark_read(&mut transaction, caller.account, id, now).await?;
    // Without a commit the key stays free: there was nothing to remember.
    let notification = Notification::from(message.ok_or(ApiError::NotFound)?);
    let response = slot.keep(&mut transaction, StatusCode::OK, &notification).await?;
    app.database.commit(transaction, "notifications.read").await?;
    Ok((NOT_CACHED, response).into_response())
}
