//! The books over REST, for the auditor.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shop_platform::auth::Caller;
use utoipa::ToSchema;

use super::{Api, NOT_CACHED};
use crate::books::{self, CurrencyBooks};
use crate::error::ApiError;

/// What was held, taken and given back.
#[derive(Serialize, ToSchema)]
pub(crate) struct Books {
    currencies: Vec<CurrencyBooks>,
}

/// The books: by currency, what is held, what was taken, what was given back
///
/// They are kept twice, by this service and by the processor; when nothing is in progress, both
/// agree.
#[utoipa::path(
    get,
    path = "/v1/payments/books",
    tag = "payments",
    security(("token" = ["books:read"])),
    responses((status = 200, description = "The books", body = Books))
)]
pub(crate) async fn books(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.require("books:read").map_err(ApiError::Refused)?;
    let currencies = books::books(api.database.pool()).await?;
    Ok((NOT_CACHED, Json(Books { currencies })).into_response())
}
