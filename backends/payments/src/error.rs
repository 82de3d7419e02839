//! Everything that can go wrong in a request over REST, and what its client learns of it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shop_platform::Problem;
use shop_platform::idempotency::IdempotencyError;
use shop_platform::problem::FieldError;

use crate::processor::ProcessorError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("some parameters are not acceptable")]
    Parameters(Vec<FieldError>),
    #[error("some fields are not acceptable")]
    Fields(Vec<FieldError>),
    #[error("no such payment of this account")]
    NotFound,
    #[error("the account has as many payment methods as it may have")]
    TooManyMethods,
    #[error("the caller may not do this")]
    Refused(Problem),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl ApiError {
    fn problem(&self) -> Problem {
        match self {
            Self::Parameters(fields) => Problem::invalid_parameters(fields.clone()),
            Self::Fields(fields) => Problem::invalid_fields(fields.clone()),
            Self::NotFound => Problem::not_found(),
            Self::TooManyMethods => Problem::new(
                StatusCode::CONFLICT,
                "too-many-payment-methods",
                "The account has as many payment methods as it may have",
            ),
            Self::Refused(problem) => problem.clone(),
            Self::Processor(ProcessorError::Unavailable) => Problem::busy(),
            Self::Database(error) | Self::Processor(ProcessorError::Database(error)) => {
                Problem::of_database(error)
            }
            Self::Idempotency(error) => error.problem(),
            Self::Processor(
                ProcessorError::UnknownCharge(_)
                | ProcessorError::UnknownToken(_)
                | ProcessorError::Stored(_),
            ) => Problem::internal(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().answering(&self)
    }
}
