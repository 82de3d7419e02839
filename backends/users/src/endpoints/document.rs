//! What `/openapi.json` says: every route, every status that can come, every form of body.

use shop_platform::problem::ProblemBody;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::client_error::ClientErrorBody;

/// The document of this service.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Shop: users", description = "Accounts, logins, and tokens to show elsewhere"),
    paths(
        super::registration::register,
        super::login::log_in,
        super::profile::me,
        super::rotation::published,
        super::rotation::rotate,
        super::discovery::openid_configuration,
        super::discovery::oauth_authorization_server,
        super::authorize::begin,
        super::authorize::finish,
        super::token::token,
        super::revoke::revoke,
        super::userinfo::userinfo,
        super::userinfo::userinfo_by_post,
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
