//! The service's routes: who may call them, and how requests and answers look.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, FromRequestParts, Path};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use shop_platform::auth::{Caller, Verifier};
use uuid::Uuid;

use crate::error::ApiError;
use crate::orders::Orders;

mod document;
mod read;
mod write;

pub(crate) use document::openapi;

pub(crate) fn routes(orders: Arc<Orders>) -> Router {
    Router::new()
        .route("/v1/orders", get(read::list).post(write::place))
        .route("/v1/orders/books", get(read::books))
        .route("/v1/orders/{id}", get(read::order))
        .route("/v1/orders/{id}/events", get(read::history))
        .route("/v1/orders/{id}/cancel", post(write::cancel))
        .route("/v1/orders/{id}/complaints", post(write::complain))
        .with_state(App(orders))
}

/// The state of the routes.
#[derive(Clone)]
struct App(Arc<Orders>);

impl FromRef<App> for Verifier {
    fn from_ref(app: &App) -> Self {
        app.0.verifier.clone()
    }
}

/// A customer who is logged in: the account.
struct Customer(Uuid);

impl FromRequestParts<App> for Customer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, app).await;
        let caller = caller.map_err(IntoResponse::into_response)?;
        caller.require("customer").map_err(IntoResponse::into_response)?;
        Ok(Self(caller.account))
    }
}

/// Whoever may look into the books of all customers.
struct Auditor;

impl FromRequestParts<App> for Auditor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, app).await;
        let caller = caller.map_err(IntoResponse::into_response)?;
        caller.require("books:read").map_err(IntoResponse::into_response)?;
        Ok(Self)
    }
}

/// The order that the path names. What is no id names none.
struct OrderId(Uuid);

impl FromRequestParts<App> for OrderId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let path = Path::<Uuid>::from_request_parts(parts, app).await;
        path.map(|Path(id)| Self(id)).map_err(|_| ApiError::NotFound)
    }
}
