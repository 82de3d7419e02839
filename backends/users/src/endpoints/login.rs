//! Logins without a client: the session that the shop's own pages get for a password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shop_platform::extract::JsonBody;
use shop_platform::problem::ProblemBody;
use utoipa::ToSchema;

use super::answers::{BodyRefused, Internal, NOT_CACHED, Unavailable};
use super::authentication::authenticate;
use crate::account::EmailAddress;
use crate::error::ApiError;
use crate::password::Password;
use crate::state::Users;
use crate::token::Subject;

pub(crate) const PATH: &str = "/v1/sessions";

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
