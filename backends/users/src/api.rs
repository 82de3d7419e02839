//! The routes: which path leads to which handler.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum::routing::{get, post};

use crate::{Users, discovery, login, oauth, profile, registration, rotation};

/// What is about one person is for nobody's cache.
pub(crate) const NOT_CACHED: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

pub(crate) fn routes(users: Arc<Users>) -> Router {
    Router::new()
        .route(registration::PATH, post(registration::register))
        .route(profile::PATH, get(profile::me))
        .route(login::PATH, post(login::log_in))
        .route(rotation::PUBLISHED, get(rotation::published))
        .route(rotation::ROTATE, post(rotation::rotate))
        .route(discovery::OPENID_CONFIGURATION, get(discovery::openid_configuration))
        .route(discovery::OAUTH_AUTHORIZATION_SERVER, get(discovery::oauth_authorization_server))
        .merge(oauth::routes())
        .with_state(users)
}
