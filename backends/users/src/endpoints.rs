//! The routes: which path leads to which handler, in a file for each endpoint.
//!
//! Handlers read a request, ask the modules below and form the answer. What is decided and what is
//! kept is there: nothing below knows an endpoint.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::state::Users;

mod answers;
mod authentication;
mod authorize;
mod bearer;
mod client_error;
mod credentials;
mod discovery;
mod document;
mod login;
mod page;
mod profile;
mod registration;
mod revoke;
mod rotation;
mod token;
mod userinfo;

pub(crate) use document::document;

pub(crate) fn routes(users: Arc<Users>) -> Router {
    Router::new()
        .route(registration::PATH, post(registration::register))
        .route(profile::PATH, get(profile::me))
        .route(login::PATH, post(login::log_in))
        .route(rotation::PUBLISHED, get(rotation::published))
        .route(rotation::ROTATE, post(rotation::rotate))
        .route(discovery::OPENID_CONFIGURATION, get(discovery::openid_configuration))
        .route(discovery::OAUTH_AUTHORIZATION_SERVER, get(discovery::oauth_authorization_server))
        .route(authorize::PATH, get(authorize::begin).post(authorize::finish))
        .route(token::PATH, post(token::token))
        .route(revoke::PATH, post(revoke::revoke))
        .route(userinfo::PATH, get(userinfo::userinfo).post(userinfo::userinfo_by_post))
        .with_state(users)
}
