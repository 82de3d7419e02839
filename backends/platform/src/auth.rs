//! Who asks: access tokens of the users service, checked by the keys that it publishes.
//!
//! A token is a JWT signed with ES256. Its header is believed in one thing, the id of the key, and
//! that only to choose among the published ones. Keys are fetched when they are first needed, when
//! they are old, and when a token names an unknown one; a fetch that fails leaves the keys at hand
//! in use.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use clap::Args;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use uuid::Uuid;

use crate::clock::Clock;
use crate::problem::Problem;
use crate::server::StartError;

mod fetch;
mod keys;

use fetch::KeySource;
use keys::Keys;

const ALGORITHM: Algorithm = Algorithm::ES256;
/// A longer one is nobody's: the users service's have some 500 bytes.
const TOKEN_LIMIT: usize = 8 * 1024;

/// Whose tokens a service believes.
#[derive(Debug, Clone, Args)]
pub struct AuthOptions {
    /// Where the users service publishes its keys; a plain http URL.
    #[arg(
        long,
        env = "SHOP_JWKS_URL",
        default_value = "http://127.0.0.1:7001/.well-known/jwks.json"
    )]
    pub jwks_url: String,
    /// What tokens name as their issuer (`iss`).
    #[arg(long, env = "SHOP_TOKEN_ISSUER", default_value = "http://users.shop")]
    pub issuer: String,
    /// Whom tokens are meant for (`aud`).
    #[arg(long, env = "SHOP_TOKEN_AUDIENCE", default_value = "shop")]
    pub audience: String,
}

/// Checks access tokens. Clones share their keys.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Arc<Keys>,
    issuer: String,
    audience: String,
    clock: Arc<dyn Clock>,
}

/// Whoever a valid token was issued to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account: Uuid,
    pub scopes: Scopes,
}

/// What a token allows (RFC 6749, section 3.3): words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("no bearer token")]
    Missing,
    #[error("more than one Authorization header")]
    Ambiguous,
    #[error("the token has expired")]
    Expired,
    /// Why is not told: it would help nobody but a forger.
    #[error("the token is not valid")]
    Invalid,
    /// There are no keys at all.
    #[error("the keys to check tokens by could not be fetched")]
    Unavailable,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    scope: String,
    nbf: u64,
    exp: u64,
}

impl Verifier {
    pub fn try_new(options: &AuthOptions, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let source = KeySource::try_new(&options.jwks_url)?;
        for (option, value) in [("issuer", &options.issuer), ("audience", &options.audience)] {
            if value.is_empty() {
                return Err(StartError::Option { option, reason: "must not be empty" });
            }
        }
        let keys = Keys::fetched_from(source);
        Ok(Self::of(keys, &options.issuer, &options.audience, clock))
    }

    /// With keys that are never fetched: for tests.
    pub fn with_keys(
        jwks: JwkSet,
        issuer: impl Into<String>,
        audience: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::of(Keys::fixed(&jwks), &issuer.into(), &audience.into(), clock)
    }

    fn of(keys: Keys, issuer: &str, audience: &str, clock: Arc<dyn Clock>) -> Self {
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        let keys = Arc::new(keys);
        Self { inner: Arc::new(Inner { keys, issuer, audience, clock }) }
    }

    pub async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > TOKEN_LIMIT {
            return Err(AuthError::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid)?;
        let kid = header.kid.filter(|_| header.alg == ALGORITHM).ok_or(AuthError::Invalid)?;
        let key = self.inner.keys.find(&kid, self.inner.clock.now()).await?;
        self.inner.check(token, &key)
    }
}

impl Inner {
    fn check(&self, token: &str, key: &DecodingKey) -> Result<Caller, AuthError> {
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // The library reads the machine's clock; ours is injected.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation);
        let claims = claims.map_err(|_| AuthError::Invalid)?.claims;
        let now = self.clock.now().seconds();
        if now >= claims.exp {
            return Err(AuthError::Expired);
        }
        // The clock that made the token may be ahead of ours.
        if now + LEEWAY_SECONDS < claims.nbf {
            return Err(AuthError::Invalid);
        }
        let account = Uuid::parse_str(&claims.sub).map_err(|_| AuthError::Invalid)?;
        Ok(Caller { account, scopes: Scopes::of(&claims.scope) })
    }
}

const LEEWAY_SECONDS: u64 = 30;

impl Caller {
    /// The answer to a caller whose token does not allow what it asks for.
    pub fn require(&self, scope: &str) -> Result<(), Problem> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "insufficient-scope",
            "The token does not allow this",
        )
        .challenge(r#"Bearer error="insufficient_scope""#))
    }
}

impl Scopes {
    pub fn of(text: &str) -> Self {
        Self(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|held| held == scope)
    }
}

impl AuthError {
    pub fn problem(self) -> Problem {
        let unauthorized = |code, title| Problem::new(StatusCode::UNAUTHORIZED, code, title);
        match self {
            Self::Missing => {
                unauthorized("token-missing", "A bearer token is needed").challenge("Bearer")
            }
            Self::Ambiguous => Problem::new(
                StatusCode::BAD_REQUEST,
                "ambiguous-authorization",
                "There is more than one Authorization header",
            ),
            Self::Expired => unauthorized("token-expired", "The token has expired")
                .challenge(r#"Bearer error="invalid_token""#),
            Self::Invalid => unauthorized("token-invalid", "The token is not valid")
                .challenge(r#"Bearer error="invalid_token""#),
            Self::Unavailable => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "keys-unavailable",
                "Tokens cannot be checked at the moment",
            )
            .retry_after(5),
        }
    }
}

/// For routers whose state holds a verifier. A missing or bad token is answered, not passed on.
impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let verifier = Verifier::from_ref(state);
        let token = bearer(&parts.headers).map_err(AuthError::problem)?;
        verifier.verify(token).await.map_err(AuthError::problem)
    }
}

/// The scheme is case-insensitive (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::Ambiguous);
    }
    let (scheme, token) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(AuthError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing);
    }
    Ok(token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests;
