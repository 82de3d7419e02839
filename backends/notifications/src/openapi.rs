//! The API's description, as served at `/openapi.json`.

use shop_platform::openapi::Bearer;
use shop_platform::problem::ProblemBody;
use utoipa::openapi::OpenApi;
use utoipa::{IntoResponses, OpenApi as _};

pub(crate) fn document() -> OpenApi {
    Document::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "The shop's notifications",
        description = "What customers are told, by letter and live"
    ),
    paths(crate::api::list, crate::api::counts, crate::api::read, crate::feed::open),
    modifiers(&Bearer)
)]
struct Document;

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
