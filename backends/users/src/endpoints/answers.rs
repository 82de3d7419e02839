//! What answers of several endpoints have in common: a header, and their forms in the document.
//!
//! It knows no endpoint; the answers that only clients of OAuth get are beside their error.

use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use shop_platform::problem::ProblemBody;
use utoipa::{IntoResponses, ToSchema};

/// What is about one person is for nobody's cache.
pub(crate) const NOT_CACHED: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// A page for people.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it stands for text in the document alone")]
pub(crate) struct Html(String);

/// The service's own failures.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it stands for answers in the document alone")]
pub(crate) enum Internal {
    /// The service failed
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
}

#[derive(IntoResponses)]
#[allow(dead_code, reason = "it stands for answers in the document alone")]
pub(crate) enum Unavailable {
    /// The request took too long, or too many came at once
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}

/// What can be wrong with a body of JSON.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it stands for answers in the document alone")]
pub(crate) enum BodyRefused {
    /// The body is not JSON, or a header is malformed
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// The body is too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The body is not declared as JSON
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(ProblemBody),
    /// Fields are missing, unknown or not acceptable
    #[response(status = 422, content_type = "application/problem+json")]
    Fields(ProblemBody),
}

/// What can be wrong with an access token.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it stands for answers in the document alone")]
pub(crate) enum BearerRefused {
    /// There is more than one Authorization header
    #[response(status = 400, content_type = "application/problem+json")]
    Ambiguous(ProblemBody),
    /// The token is missing, not valid, expired or revoked
    #[response(status = 401, content_type = "application/problem+json")]
    Token(ProblemBody),
    /// The token does not allow this
    #[response(status = 403, content_type = "application/problem+json")]
    Scope(ProblemBody),
}
