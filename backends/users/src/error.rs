//! Everything that can go wrong in a request to this service, and what its client learns of it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shop_platform::idempotency::IdempotencyError;
use shop_platform::problem::{FieldError, Problem};

use crate::keys::KeyError;
use crate::password::PasswordError;
use crate::scope::{CUSTOMER, OPENID, ROTATE_KEYS};
use crate::token::TokenError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("some fields are not acceptable")]
    Fields(Vec<FieldError>),
    #[error("the email address has an account already")]
    EmailTaken,
    /// One answer for an unknown address and for a wrong password.
    #[error("the email address or the password is wrong")]
    Credentials,
    #[error("too many login attempts for one account")]
    Throttled { retry_after_seconds: u64 },
    #[error("more than one Authorization header")]
    AmbiguousAuthorization,
    #[error("no bearer token")]
    NoToken,
    #[error("the token does not have the scope {0}")]
    InsufficientScope(&'static str),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("there is no signing key")]
    NoKey,
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("the system has no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl ApiError {
    fn problem(&self) -> Problem {
        match self {
            Self::Fields(fields) => Problem::invalid_fields(fields.clone()),
            Self::EmailTaken => Problem::new(
                StatusCode::CONFLICT,
                "email-taken",
                "The email address has an account already",
            ),
            // No challenge: it would make browsers ask for a password of their own.
            Self::Credentials => Problem::new(
                StatusCode::UNAUTHORIZED,
                "invalid-credentials",
                "The email address or the password is wrong",
            ),
            Self::Throttled { retry_after_seconds } => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-attempts",
                "Too many login attempts for this account",
            )
            .retry_after(*retry_after_seconds),
            Self::AmbiguousAuthorization => Problem::new(
                StatusCode::BAD_REQUEST,
                "ambiguous-authorization",
                "There is more than one Authorization header",
            ),
            Self::NoToken => {
                Problem::new(StatusCode::UNAUTHORIZED, "token-missing", "A bearer token is needed")
                    .challenge("Bearer")
            }
            Self::InsufficientScope(scope) => Problem::new(
                StatusCode::FORBIDDEN,
                "insufficient-scope",
                "The token does not allow this",
            )
            .challenge(scope_challenge(scope)),
            Self::Token(TokenError::Expired) => {
                Problem::new(StatusCode::UNAUTHORIZED, "token-expired", "The token has expired")
                    .challenge(r#"Bearer error="invalid_token""#)
            }
            Self::Token(TokenError::Invalid) => {
                Problem::new(StatusCode::UNAUTHORIZED, "token-invalid", "The token is not valid")
                    .challenge(r#"Bearer error="invalid_token""#)
            }
            Self::Idempotency(error) => error.problem(),
            Self::Password(PasswordError::Busy) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "Too many logins and registrations at once",
            )
            .retry_after(1),
            Self::Database(error) => Problem::of_database(error),
            Self::Password(PasswordError::Hash(_) | PasswordError::Interrupted)
            | Self::Token(TokenError::Sign(_))
            | Self::Keys(_)
            | Self::NoKey
            | Self::Random(_) => Problem::internal(),
        }
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().answering(&self)
    }
}

/// RFC 6750, section 3.1: which scope would do.
fn scope_challenge(scope: &str) -> &'static str {
    match scope {
        OPENID => r#"Bearer error="insufficient_scope", scope="openid""#,
        CUSTOMER => r#"Bearer error="insufficient_scope", scope="customer""#,
        ROTATE_KEYS => r#"Bearer error="insufficient_scope", scope="keys:rotate""#,
        _ => r#"Bearer error="insufficient_scope""#,
    }
}
