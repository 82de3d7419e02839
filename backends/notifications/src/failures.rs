//! What may be answered to any request, for the document.
//!
//! The answers themselves are the error's.

use shop_platform::problem::ProblemBody;
use utoipa::IntoResponses;

/// What may be answered to any request.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(crate) enum Failures {
    /// The request is not understood, or has more than one token
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// There is no valid token
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// The token lacks the scope `customer`
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// The service failed
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The service cannot answer now; `Retry-After` may say when it can
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}
