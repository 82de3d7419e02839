//! Everything that can go wrong in a request to this service, and what its client learns of it.

use axum::response::{IntoResponse, Response};
use shop_platform::Problem;
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
            Self::Parameters(fields) => Problem::invalid_parameters(fields.clone()),
            Self::Fields(fields) => Problem::invalid_fields(fields.clone()),
            Self::NotFound => Problem::not_found(),
            Self::Refused(problem) => problem.clone(),
            Self::Idempotency(error) => error.problem(),
            Self::Database(error) => Problem::of_database(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().answering(&self)
    }
}
