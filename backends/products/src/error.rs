//! Everything that can go wrong in a request to this service, and what its client learns of it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shop_platform::Problem;
use shop_platform::database::is_transient;
use shop_platform::idempotency::IdempotencyError;
use shop_platform::problem::FieldError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("some parameters are not acceptable")]
    Parameters(Vec<FieldError>),
    #[error("some fields are not acceptable")]
    Fields(Vec<FieldError>),
    #[error("no such product")]
    NotFound,
    #[error("the caller may not do this")]
    Refused(Problem),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl ApiError {
    fn problem(&self) -> Problem {
        match self {
            Self::Parameters(fields) => Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid-parameters",
                "Some parameters are not acceptable",
            )
            .fields(fields.clone()),
            Self::Fields(fields) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-fields",
                "Some fields are not acceptable",
            )
            .fields(fields.clone()),
            Self::NotFound => Problem::not_found(),
            Self::Refused(problem) => problem.clone(),
            Self::Database(error) | Self::Idempotency(IdempotencyError::Database(error))
                if is_transient(error) =>
            {
                busy()
            }
            Self::Idempotency(error) => error.problem(),
            Self::Database(_) => Problem::internal(),
        }
    }
}

fn busy() -> Problem {
    let title = "The service is busy; the request may be sent again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", title).retry_after(1)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().answering(&self)
    }
}
