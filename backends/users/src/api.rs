//! The routes: what comes in, which steps it takes, what goes out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use shop_platform::conditional;
use shop_platform::extract::JsonBody;
use uuid::Uuid;

use crate::Users;
use crate::account::{Account, CUSTOMER_SCOPE, DisplayName, EmailAddress};
use crate::error::ApiError;
use crate::metrics::Login;
use crate::password::Password;

/// [`crate::keys::MINIMUM_LEAD`]: a set cached for longer could lack the key in use.
const KEYS_CACHE: &str = "public, max-age=15";
const DISCOVERY_CACHE: &str = "public, max-age=300";
const NOT_CACHED: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

pub(crate) fn routes(users: Arc<Users>) -> Router {
    Router::new()
        .route("/v1/users", post(register))
        .route("/v1/users/me", get(me))
        .route("/v1/sessions", post(log_in))
        .route("/.well-known/jwks.json", get(published_keys))
        .route("/.well-known/openid-configuration", get(discovery))
        .with_state(users)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    email: String,
    password: String,
    display_name: String,
}

/// Hashes before it asks whether the address is free, so that both answers take as long.
async fn register(
    State(users): State<Arc<Users>>,
    JsonBody(body): JsonBody<Registration>,
) -> Result<Response, ApiError> {
    let parts = (
        EmailAddress::try_new(&body.email),
        Password::try_new(body.password),
        DisplayName::try_new(&body.display_name),
    );
    let (email, password, name) = match parts {
        (Ok(email), Ok(password), Ok(name)) => (email, password, name),
        (email, password, name) => {
            let errors = [email.err(), password.err(), name.err()];
            return Err(ApiError::Fields(errors.into_iter().flatten().collect()));
        }
    };
    let hash = users.passwords.hash(password).await?;
    let account = users.accounts.insert(&email, &name, &hash, users.clock.now()).await?;
    let account = account.ok_or(ApiError::EmailTaken)?;
    users.metrics.registrations.inc();
    tracing::info!(account = %account.id, "an account was made");
    Ok((StatusCode::CREATED, NOT_CACHED, Json(Profile::of(&account))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

#[derive(Serialize)]
struct Session<'a> {
    access_token: &'a str,
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    scope: &'a str,
}

/// An unknown address takes every step that a wrong password does.
async fn log_in(
    State(users): State<Arc<Users>>,
    JsonBody(body): JsonBody<Credentials>,
) -> Result<Response, ApiError> {
    let email =
        EmailAddress::try_new(&body.email).map_err(|error| ApiError::Fields(vec![error]))?;
    let (key, now) = (email.key(), users.clock.now());
    if let Err(wait) = users.throttle.charge(&key, now) {
        users.metrics.login(Login::Throttled);
        // Rounded up: a client that waits as told is let through.
        let retry_after_seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        return Err(ApiError::Throttled { retry_after_seconds });
    }
    let (account, hash) = users.accounts.by_email(&email).await?.unzip();
    let matches = users.passwords.verify(Password::attempt(body.password), hash).await?;
    let Some(account) = account.filter(|_| matches) else {
        users.metrics.login(Login::Refused);
        return Err(ApiError::Credentials);
    };
    users.throttle.clear(&key);
    let issued = users.issuer.issue(&users.keys.keys(), account.id, &account.scope, now)?;
    users.metrics.login(Login::Accepted);
    let session = Session {
        access_token: &issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
        scope: &account.scope,
    };
    Ok((NOT_CACHED, Json(session)).into_response())
}

async fn me(State(users): State<Arc<Users>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let token = bearer_token(&headers)?;
    let id = users.issuer.verify(&users.keys.keys(), token, users.clock.now())?;
    // The account may have gone since.
    let account = users
        .accounts
        .by_id(id)
        .await?
        .ok_or(ApiError::Token(crate::token::TokenError::Invalid))?;
    Ok((NOT_CACHED, Json(Profile::of(&account))).into_response())
}

async fn published_keys(State(users): State<Arc<Users>>, headers: HeaderMap) -> Response {
    conditional::json(&headers, KEYS_CACHE, &users.keys.published(users.clock.now()))
}

/// The part of OpenID Connect Discovery that holds here; the rest comes with its flows.
#[derive(Serialize)]
struct Discovery<'a> {
    issuer: &'a str,
    jwks_uri: String,
    scopes_supported: [&'static str; 1],
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 0],
    subject_types_supported: [&'static str; 1],
    claims_supported: [&'static str; 8],
}

async fn discovery(State(users): State<Arc<Users>>, headers: HeaderMap) -> Response {
    let issuer = users.issuer.url();
    let document = Discovery {
        issuer,
        jwks_uri: format!("{issuer}/.well-known/jwks.json"),
        scopes_supported: [CUSTOMER_SCOPE],
        response_types_supported: [],
        grant_types_supported: [],
        subject_types_supported: ["public"],
        claims_supported: ["iss", "aud", "sub", "scope", "iat", "nbf", "exp", "jti"],
    };
    conditional::json(&headers, DISCOVERY_CACHE, &document)
}

/// An account as its owner sees it.
#[derive(Serialize)]
struct Profile<'a> {
    id: Uuid,
    email: &'a str,
    display_name: &'a str,
    created_at: String,
}

impl<'a> Profile<'a> {
    fn of(account: &'a Account) -> Self {
        Self {
            id: account.id,
            email: &account.email,
            display_name: &account.display_name,
            created_at: account.created_at.to_string(),
        }
    }
}

/// Two headers could be read as two people, so they are nobody.
fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(ApiError::NoToken)?;
    if values.next().is_some() {
        return Err(ApiError::AmbiguousAuthorization);
    }
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(ApiError::NoToken)?;
    let token = token.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(ApiError::NoToken)
    }
}
