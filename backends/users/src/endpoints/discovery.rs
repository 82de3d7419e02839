//! Discovery (OpenID Connect Discovery; RFC 8414): what clients may rely on, and nothing more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use shop_platform::conditional;
use utoipa::ToSchema;

use super::answers::{Internal, Unavailable};
use super::{authorize, credentials, revoke, rotation, token, userinfo};
use crate::oauth::client::GrantType;
use crate::scope;
use crate::state::Users;

const CACHE: &str = "public, max-age=300";
pub(crate) const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
pub(crate) const OAUTH_AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";

#[derive(Serialize, ToSchema)]
pub(crate) struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    scopes_supported: Vec<&'static str>,
    response_types_supported: Vec<&'static str>,
    response_modes_supported: Vec<&'static str>,
    grant_types_supported: Vec<&'static str>,
    subject_types_supported: Vec<&'static str>,
    /// Not RS256: every key here is of P-256.
    id_token_signing_alg_values_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    code_challenge_methods_supported: Vec<&'static str>,
    claims_supported: Vec<&'static str>,
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    /// Spoken of because it would be true if nobody did.
    request_uri_parameter_supported: bool,
    /// RFC 9207.
    authorization_response_iss_parameter_supported: bool,
}

impl Discovery {
    fn of(issuer: &str) -> Self {
        let at = |path: &str| format!("{issuer}{path}");
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: at(authorize::PATH),
            token_endpoint: at(token::PATH),
            userinfo_endpoint: at(userinfo::PATH),
            revocation_endpoint: at(revoke::PATH),
            jwks_uri: at(rotation::PUBLISHED),
            // Those that every client may ask for.
            scopes_supported: vec![
                scope::OPENID,
                scope::PROFILE,
                scope::EMAIL,
                scope::CUSTOMER,
                scope::OFFLINE_ACCESS,
            ],
            response_types_supported: vec!["code"],
            response_modes_supported: vec!["query"],
            grant_types_supported: GrantType::ALL.map(GrantType::as_str).to_vec(),
            subject_types_supported: vec!["public"],
            id_token_signing_alg_values_supported: vec!["ES256"],
            token_endpoint_auth_methods_supported: credentials::METHODS.to_vec(),
            revocation_endpoint_auth_methods_supported: credentials::METHODS.to_vec(),
            code_challenge_methods_supported: vec!["S256"],
            claims_supported: vec![
                "iss",
                "aud",
                "sub",
                "iat",
                "exp",
                "auth_time",
                "nonce",
                "at_hash",
                "name",
                "email",
                "email_verified",
            ],
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            authorization_response_iss_parameter_supported: true,
        }
    }
}

/// What clients of OpenID Connect need to know
#[utoipa::path(get, path = OPENID_CONFIGURATION, tag = "discovery",
    responses(
        (status = 200, description = "The document", body = Discovery),
        (status = 304, description = "The document is the one that the client knows"),
        Internal, Unavailable,
    ))]
pub(crate) async fn openid_configuration(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
) -> Response {
    conditional::json(&headers, CACHE, &Discovery::of(users.issuer.url()))
}

/// The same where clients of plain OAuth look for it
#[utoipa::path(get, path = OAUTH_AUTHORIZATION_SERVER, tag = "discovery",
    responses(
        (status = 200, description = "The document", body = Discovery),
        (status = 304, description = "The document is the one that the client knows"),
        Internal, Unavailable,
    ))]
pub(crate) async fn oauth_authorization_server(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
) -> Response {
    conditional::json(&headers, CACHE, &Discovery::of(users.issuer.url()))
}
