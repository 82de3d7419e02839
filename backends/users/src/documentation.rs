//! What `/openapi.json` says: every route, every status that can come, every form of body.

use shop_platform::problem::ProblemBody;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use crate::oauth::error::ClientErrorBody;

/// The document of this service.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Shop: users", description = "Accounts, logins, and tokens to show elsewhere"),
    paths(
        crate::registration::register,
        crate::login::log_in,
        crate::profile::me,
        crate::rotation::published,
        crate::rotation::rotate,
        crate::discovery::openid_configuration,
        crate::discovery::oauth_authorization_server,
        crate::oauth::authorize::begin,
        crate::oauth::authorize::finish,
        crate::oauth::token::token,
        crate::oauth::revoke::revoke,
        crate::oauth::userinfo::userinfo,
        crate::oauth::userinfo::userinfo_by_post,
    ),
    components(schemas(ProblemBody, ClientErrorBody)),
    modifiers(&Schemes)
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = |scheme| SecurityScheme::Http(Http::new(scheme));
        components.add_security_scheme("bearer", scheme(HttpAuthScheme::Bearer));
        components.add_security_scheme("client", scheme(HttpAuthScheme::Basic));
    }
}

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
