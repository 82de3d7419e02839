//! The OpenAPI document: gathered from the handlers, with what they have in common.

use serde::Serialize;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

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
    components(schemas(ProblemDocument)),
    modifiers(&Bearer),
)]
struct Orders;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

/// An error (RFC 9457), in the shape in which the platform writes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    r#type: String,
    title: String,
    status: u16,
    /// What programs compare.
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldProblem>>,
}

#[derive(Serialize, ToSchema)]
struct FieldProblem {
    field: String,
    message: String,
}

/// What may be answered to any request.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum Problems {
    /// The request cannot be meant: parameters, headers or a body that are not as they must be
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemDocument),
    /// No valid token
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDocument),
    /// The token does not allow it
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDocument),
    /// The service failed
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDocument),
    /// The service cannot answer now; `Retry-After` may say when it can
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDocument),
}

/// What may be answered to a request with an `Idempotency-Key`.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum KeyProblems {
    /// A request with the same key is being worked on
    #[response(status = 409, content_type = "application/problem+json")]
    InProgress(ProblemDocument),
    /// The key was used for another request, or fields are not acceptable
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(ProblemDocument),
}

/// What may be answered to a request with a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum BodyProblems {
    /// The body is too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDocument),
    /// The body is not announced as JSON
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(ProblemDocument),
    /// Fields are not acceptable
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(ProblemDocument),
}

#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum NoSuchOrder {
    /// No such order, or someone else's
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemDocument),
}
