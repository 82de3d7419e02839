//! Error answers: one JSON problem (RFC 9457) for whatever goes wrong in a service.
//!
//! A problem holds what a client may know. What an operator needs is logged where the error is
//! turned into a problem, and never travels with it.

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::database::is_transient;

/// An error as its client sees it: `code` is the stable word that programs compare.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Apart, because results that hold a problem are passed through every handler.
    parts: Box<Parts>,
}

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Option<String>,
    fields: Vec<FieldError>,
    retry_after: Option<u64>,
    challenge: Option<HeaderValue>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FieldProblem)]
pub struct FieldError {
    pub field: &'static str,
    pub message: &'static str,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        let (detail, fields, retry_after, challenge) = (None, Vec::new(), None, None);
        let parts = Parts { status, code, title, detail, fields, retry_after, challenge };
        Self { parts: Box::new(parts) }
    }

    /// The answer to a failure that is the service's own; the log has the rest.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed")
    }

    /// The answer to what will pass by itself.
    pub fn busy() -> Self {
        let title = "The service is busy; the request may be sent again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", title).retry_after(1)
    }

    /// The answer to a failure of the database, by whether it will pass.
    pub fn of_database(error: &sqlx::Error) -> Self {
        if is_transient(error) { Self::busy() } else { Self::internal() }
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "No such resource")
    }

    /// The answer to a body that is of the right form, with values that are not acceptable.
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        let title = "Some fields are not acceptable";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-fields", title).fields(fields)
    }

    /// The answer to a query with values that are not acceptable.
    pub fn invalid_parameters(parameters: Vec<FieldError>) -> Self {
        let title = "Some parameters are not acceptable";
        Self::new(StatusCode::BAD_REQUEST, "invalid-parameters", title).fields(parameters)
    }

    /// Text for this occurrence. It is shown to clients as it is.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.parts.detail = Some(detail.into());
        self
    }

    fn fields(mut self, fields: Vec<FieldError>) -> Self {
        self.parts.fields = fields;
        self
    }

    /// Seconds until the same request may fare better.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.parts.retry_after = Some(seconds);
        self
    }

    /// The `WWW-Authenticate` of a 401.
    pub fn challenge(mut self, challenge: &'static str) -> Self {
        self.parts.challenge = Some(HeaderValue::from_static(challenge));
        self
    }

    /// The answer to a request that `error` ended. A failure of the service's own is logged: this
    /// is the last to see it whole.
    pub fn answering(self, error: &dyn std::error::Error) -> Response {
        if self.parts.status.is_server_error() {
            tracing::error!(%error, code = self.parts.code, "a request failed");
        }
        self.into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let parts = *self.parts;
        let body = ProblemBody {
            // Its meaning is that of the status; `code` narrows it down.
            r#type: "about:blank",
            title: parts.title,
            status: parts.status.as_u16(),
            code: parts.code,
            detail: parts.detail,
            errors: parts.fields,
        };
        let mut response = (parts.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = parts.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = parts.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// What went wrong (RFC 9457).
// A service's document describes problems by the type that is sent, and so it cannot be wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    /// The stable word that programs compare.
    #[schema(example = "not-found")]
    code: &'static str,
    /// About this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}
