//! What can go wrong at the endpoints that clients call, in the words of RFC 6749, section 5.2.
//!
//! What is not the client's fault is answered as everywhere in this service, by a problem.

use axum::Json;
use axum::extract::rejection::RawFormRejection;
use axum::http::header::{CACHE_CONTROL, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::error::ApiError;
use crate::oauth::form::FormError;

/// Section 5.1: no cache keeps a token, not even one of HTTP/1.0.
pub(crate) const NOT_CACHED: [(HeaderName, &str); 2] =
    [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Form(#[from] FormError),
    #[error("{0}")]
    Request(&'static str),
    /// One answer for an unknown client, a wrong secret and a missing one.
    #[error("the client is unknown or did not prove itself")]
    Client,
    /// Why is for the log alone: codes and tokens are not to be probed.
    #[error("the grant is not valid: {0}")]
    Grant(&'static str),
    #[error("the client may not use this grant type")]
    Unauthorized,
    #[error("there is no such grant type")]
    GrantType,
    #[error("a scope is unknown, malformed or not the client's to ask for")]
    Scope,
    #[error("a token of this type cannot be revoked and ends by itself")]
    TokenType,
    #[error("the request is too large")]
    TooLarge,
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl From<sqlx::Error> for ClientError {
    fn from(error: sqlx::Error) -> Self {
        Self::Api(error.into())
    }
}

/// Why a request of a client failed (RFC 6749, section 5.2).
#[derive(Serialize, ToSchema)]
pub(crate) struct ClientErrorBody {
    /// The word that programs compare.
    #[schema(example = "invalid_grant")]
    error: &'static str,
    /// For developers to read.
    error_description: String,
}

/// What clients are told by RFC 6749, section 5.2.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it stands for answers in the document alone")]
pub(crate) enum ClientRefused {
    /// The request or what it presents is not acceptable
    #[response(status = 400)]
    Refused(ClientErrorBody),
    /// The client is unknown or did not prove itself
    #[response(status = 401)]
    Client(ClientErrorBody),
    /// The form is too large
    #[response(status = 413)]
    TooLarge(ClientErrorBody),
}

impl ClientError {
    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Form(_) | Self::Request(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Client => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::Grant(_) => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::Unauthorized => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            Self::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::Scope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            // RFC 7009, section 2.2.1.
            Self::TokenType => (StatusCode::BAD_REQUEST, "unsupported_token_type"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
            Self::Api(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }

    fn description(&self) -> String {
        match self {
            Self::Grant(_) => "the code or token is unknown, used, expired or not yours".to_owned(),
            other => other.to_string(),
        }
    }
}

impl IntoResponse for ClientError {
    fn into_response(self) -> Response {
        let error = match self {
            Self::Api(error) => return error.into_response(),
            other => other,
        };
        let (status, code) = error.answer();
        tracing::info!(%error, code, "a client was refused");
        let body = ClientErrorBody { error: code, error_description: error.description() };
        let mut response = (status, NOT_CACHED, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Basic realm="shop""#);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<RawFormRejection> for ClientError {
    fn from(rejection: RawFormRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            // Another type, or a body that broke off.
            _ => Self::Form(FormError::Malformed),
        }
    }
}
