//! Everything that can go wrong in a request to this service, and what its client learns of it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shop_platform::Problem;
use shop_platform::idempotency::IdempotencyError;
use shop_platform::problem::FieldError;

use crate::order::Refusal;
use crate::ports::QuoteError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("some fields are not acceptable")]
    Fields(Vec<FieldError>),
    #[error("some parameters are not acceptable")]
    Parameters(Vec<FieldError>),
    #[error("no such order")]
    NotFound,
    #[error(transparent)]
    Quote(#[from] QuoteError),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl ApiError {
    fn problem(&self) -> Problem {
        match self {
            Self::Fields(fields) => Problem::invalid_fields(fields.clone()),
            Self::Parameters(fields) => Problem::invalid_parameters(fields.clone()),
            Self::NotFound => Problem::not_found(),
            Self::Quote(QuoteError::UnknownProduct) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown-product",
                "There is no such product",
            ),
            Self::Quote(QuoteError::Unavailable(_) | QuoteError::Nonsense) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "prices-unavailable",
                "The prices cannot be told now",
            )
            .retry_after(1),
            Self::Idempotency(error) => error.problem(),
            Self::Store(StoreError::Refused(Refusal::TooManyComplaints)) => Problem::new(
                StatusCode::CONFLICT,
                "too-many-complaints",
                "No more complaints are kept of this order",
            ),
            // Everybody wants this order now.
            Self::Store(StoreError::Conflict) => Problem::busy(),
            Self::Store(StoreError::Database(error)) | Self::Database(error) => {
                Problem::of_database(error)
            }
            Self::Store(
                StoreError::Refused(Refusal::OutOfTurn(_))
                | StoreError::Gap(_)
                | StoreError::Unreadable { .. }
                | StoreError::Snapshot { .. },
            ) => Problem::internal(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().answering(&self)
    }
}
