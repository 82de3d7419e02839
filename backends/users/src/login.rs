//! Logins: the one way in which a password is compared, whoever asks for it, and the session that
//! the shop's own pages get by it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shop_platform::UnixTime;
use shop_platform::extract::JsonBody;
use shop_platform::problem::ProblemBody;
use utoipa::ToSchema;

use crate::Users;
use crate::account::{Account, EmailAddress};
use crate::api::NOT_CACHED;
use crate::documentation::{BodyRefused, Internal, Unavailable};
use crate::error::ApiError;
use crate::metrics::Login;
use crate::password::Password;
use crate::token::Subject;

pub(crate) const PATH: &str = "/v1/sessions";

/// The account that the address and the password belong to. An unknown address takes every step
/// that a wrong password does.
pub(crate) async fn authenticate(
    users: &Users,
    email: &EmailAddress,
    password: Password,
    now: UnixTime,
) -> Result<Account, ApiError> {
    let key = email.key();
    if let Err(wait) = users.throttle.charge(&key, now) {
        users.metrics.login(Login::Throttled);
        // Rounded up: a client that waits as told is let through.
        let retry_after_seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        return Err(ApiError::Throttled { retry_after_seconds });
    }
    let (account, hash) = users.accounts.by_email(email).await?.unzip();
    let matches = users.passwords.verify(password, hash).await?;
    let Some(account) = account.filter(|_| matches) else {
        users.metrics.login(Login::Refused);
        return Err(ApiError::Credentials);
    };
    users.throttle.clear(&key);
    users.metrics.login(Login::Accepted);
    Ok(account)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(format = Password)]
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// A JWT by ES256; its key is one of the published.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    /// Words, with a space between them.
    scope: String,
}

/// A password for an access token
///
/// Nothing is kept of it, so that there is nothing to be idempotent about.
#[utoipa::path(post, path = PATH, tag = "accounts", request_body = Credentials,
    responses(
        (status = 200, description = "A token", body = Session),
        (status = 401, description = "The email address or the password is wrong",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts for this account",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyRefused, Internal, Unavailable,
    ))]
pub(crate) async fn log_in(
    State(users): State<Arc<Users>>,
    JsonBody(body): JsonBody<Credentials>,
) -> Result<Response, ApiError> {
    let email =
        EmailAddress::try_new(&body.email).map_err(|error| ApiError::Fields(vec![error]))?;
    let now = users.clock.now();
    let account = authenticate(&users, &email, Password::attempt(body.password), now).await?;
    let subject = Subject::account(account.id, &account.scope);
    let issued = users.issuer.issue(&users.keys.keys(), &subject, now)?;
    let session = Session {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
        scope: account.scope,
    };
    Ok((NOT_CACHED, Json(session)).into_response())
}
