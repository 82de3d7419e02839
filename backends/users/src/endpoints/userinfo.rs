//! The UserInfo endpoint (OpenID Connect Core, section 5.3): what an access token's scopes let a
//! client know of its user.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answers::{BearerRefused, Internal, NOT_CACHED, Unavailable};
use super::bearer::Bearer;
use crate::error::ApiError;
use crate::scope::{EMAIL, OPENID, PROFILE};
use crate::state::Users;
use crate::token::TokenError;

pub(crate) const PATH: &str = "/oauth/userinfo";

#[derive(Serialize, ToSchema)]
pub(crate) struct UserInfo {
    /// The account's id, as in the ID token.
    sub: Uuid,
    /// With the scope `profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// With the scope `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Nobody checks addresses here, so this is `false`. With the scope `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
}

/// Tells what the token's scopes allow
#[utoipa::path(get, path = PATH, tag = "oauth", operation_id = "userinfo",
    responses(
        (status = 200, description = "The claims", body = UserInfo),
        BearerRefused, Internal, Unavailable,
    ),
    security(("bearer" = ["openid"])))]
pub(crate) async fn userinfo(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer(&users, &headers).await
}

/// The same by POST, which OpenID Connect asks for
#[utoipa::path(post, path = PATH, tag = "oauth", operation_id = "userinfo_by_post",
    responses(
        (status = 200, description = "The claims", body = UserInfo),
        BearerRefused, Internal, Unavailable,
    ),
    security(("bearer" = ["openid"])))]
pub(crate) async fn userinfo_by_post(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer(&users, &headers).await
}

async fn answer(users: &Users, headers: &HeaderMap) -> Result<Response, ApiError> {
    let bearer = Bearer::of(users, headers).await?;
    bearer.require(OPENID)?;
    let account = users.accounts.by_id(bearer.id).await?;
    let account = account.ok_or(ApiError::Token(TokenError::Invalid))?;
    let (profile, email) = (bearer.scopes.contains(PROFILE), bearer.scopes.contains(EMAIL));
    let info = UserInfo {
        sub: account.id,
        name: profile.then_some(account.display_name),
        email: email.then_some(account.email),
        email_verified: email.then_some(false),
    };
    Ok((NOT_CACHED, Json(info)).into_response())
}
