//! Everything that can go wrong in a request to this service, and what its client learns of it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shop_platform::Problem;
use shop_platform::idempotency::IdempotencyError;
use shop_platform::problem::FieldError;

use crate::feed::seats::Full;

/// Seconds until a seat may be free.
const SEAT_WAIT: u64 = 30;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("some parameters are not acceptable")]
    Parameters(Vec<FieldError>),
    #[error("no such notification")]
    NotFound,
    /// The caller is known and may not: the problem says why.
    #[error("the caller may not do this")]
    Denied(Problem),
    #[error("a token in more than one place, or beside no protocol that we speak")]
    AmbiguousToken,
    #[error("not a request for a WebSocket")]
    NotAWebSocket,
    #[error("no seat for a feed: {0:?}")]
    Full(Full),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl ApiError {
    /// A parameter that should name a notification of the caller's own.
    pub(crate) fn unknown_place(field: &'static str) -> Self {
        let message = "must be the id of a notification of yours";
        Self::Parameters(vec![FieldError { field, message }])
    }

    fn problem(&self) -> Problem {
        match self {
            Self::Parameters(fields) => Problem::invalid_parameters(fields.clone()),
            Self::NotFound => Problem::not_found(),
            Self::Denied(problem) => problem.clone(),
            Self::AmbiguousToken => Problem::new(
                StatusCode::BAD_REQUEST,
                "ambiguous-authorization",
                "One token is needed: in the Authorization header, or beside the subprotocol \
                 shop.v1",
            ),
            Self::NotAWebSocket => Problem::new(
                StatusCode::UPGRADE_REQUIRED,
                "websocket-required",
                "This resource is a WebSocket",
            ),
            Self::Full(Full::Account) => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-feeds",
                "The account has as many feeds open as it may",
            )
            .retry_after(SEAT_WAIT),
            Self::Full(Full::Total) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "All feeds are taken")
                    .retry_after(SEAT_WAIT)
            }
            Self::Full(Full::Stopping) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The service stops")
                    .retry_after(1)
            }
            Self::Idempotency(error) => error.problem(),
            Self::Database(error) => Problem::of_database(error),
        }
    }
}

impl From<Full> for ApiError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Denied(problem)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().answering(&self)
    }
}
