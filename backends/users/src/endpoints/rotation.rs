//! The keys as others see them, and the trigger for a new one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shop_platform::conditional;
use utoipa::ToSchema;

use super::answers::{BearerRefused, Internal, NOT_CACHED, Unavailable};
use super::bearer::Bearer;
use crate::error::ApiError;
use crate::scope::ROTATE_KEYS;
use crate::state::Users;

pub(crate) const PUBLISHED: &str = "/.well-known/jwks.json";
pub(crate) const ROTATE: &str = "/v1/keys/rotate";

/// [`crate::keys::MINIMUM_LEAD`]: a set cached for longer could lack the key in use.
const CACHE: &str = "public, max-age=15";

/// The form of a JSON Web Key Set (RFC 7517), for the document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the set itself is the library's type")]
pub(crate) struct PublishedKeys {
    keys: Vec<PublishedKey>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "the key itself is the library's type")]
pub(crate) struct PublishedKey {
    kid: String,
    /// `EC`.
    kty: String,
    /// `P-256`.
    crv: String,
    x: String,
    y: String,
    /// `ES256`.
    alg: String,
    /// `sig`.
    r#use: String,
}

/// The keys that tokens are checked by
#[utoipa::path(get, path = PUBLISHED, tag = "keys",
    responses(
        (status = 200, description = "The set", body = PublishedKeys),
        (status = 304, description = "The set is the one that the client knows"),
        Internal, Unavailable,
    ))]
pub(crate) async fn published(State(users): State<Arc<Users>>, headers: HeaderMap) -> Response {
    conditional::json(&headers, CACHE, &users.keys.published(users.clock.now()))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NextKey {
    /// The newest key that is published.
    kid: String,
    /// When it begins to sign.
    #[schema(format = DateTime)]
    active_at: String,
}

/// Publishes a key that takes over soon, for when the one in use may be known to others
///
/// A key that waits already stays the next: to ask twice does no more than to ask once, and so
/// no Idempotency-Key is needed.
#[utoipa::path(post, path = ROTATE, tag = "keys",
    responses(
        (status = 200, description = "The key that is next", body = NextKey),
        BearerRefused, Internal, Unavailable,
    ),
    security(("bearer" = ["keys:rotate"])))]
pub(crate) async fn rotate(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let bearer = Bearer::of(&users, &headers).await?;
    bearer.require(ROTATE_KEYS)?;
    users.keys.rotate(users.clock.now()).await?;
    let keys = users.keys.keys();
    let Some((kid, active_at)) = keys.newest() else {
        return Err(ApiError::NoKey);
    };
    tracing::info!(by = %bearer.id, kid, "a new signing key was asked for");
    let next = NextKey { kid: kid.to_owned(), active_at: active_at.to_string() };
    Ok((NOT_CACHED, Json(next)).into_response())
}
