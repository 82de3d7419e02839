//! The OpenAPI document: gathered from the handlers, with what they have in common.

use shop_platform::openapi::Bearer;
use shop_platform::problem::ProblemBody;
use utoipa::openapi::OpenApi as Document;
use utoipa::{IntoResponses, OpenApi};

use super::{read, write};

pub(crate) fn openapi() -> Document {
    Orders::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Orders",
        description = "Orders are placed here, and followed until they are confirmed or cancelled",
    ),
    paths(
        write::place,
        write::cancel,
        write::complain,
        read::list,
        read::order,
        read::history,
        read::books,
    ),
    components(schemas(ProblemBody)),
    modifiers(&Bearer),
)]
struct Orders;

/// What may be answered to any request.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum Problems {
    /// The request cannot be meant: parameters, headers or a body that are not as they must be
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// No valid token
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// The token does not allow it
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// The service failed
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The service cannot answer now; `Retry-After` may say when it can
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}

/// What may be answered to a request with an `Idempotency-Key`.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum KeyProblems {
    /// A request with the same key is being worked on
    #[response(status = 409, content_type = "application/problem+json")]
    InProgress(ProblemBody),
    /// The key was used for another request, or fields are not acceptable
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(ProblemBody),
}

/// What may be answered to a request with a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum BodyProblems {
    /// The body is too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The body is not announced as JSON
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(ProblemBody),
    /// Fields are not acceptable
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(ProblemBody),
}

#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum NoSuchOrder {
    /// No such order, or someone else's
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
}
