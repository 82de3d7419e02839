//! The API's description, as served at `/openapi.json`.

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi as _, ToSchema};

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

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

/// An error (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only its shape is used: the platform writes problems")]
pub(crate) struct ProblemBody {
    r#type: String,
    title: String,
    status: u16,
    /// A stable word to compare.
    code: String,
    #[schema(nullable = false)]
    detail: Option<String>,
    #[schema(nullable = false)]
    errors: Option<Vec<ProblemField>>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
struct ProblemField {
    field: String,
    message: String,
}

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
