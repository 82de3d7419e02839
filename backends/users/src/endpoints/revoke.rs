//! The revocation endpoint (RFC 7009): a client that is done gives its tokens back.
//!
//! A token takes its grant along, and so every token that came of it. Access tokens are checked
//! by others with nothing but our keys: this service refuses them at once, the others until they
//! expire, minutes later.

use std::sync::Arc;

use axum::extract::rejection::RawFormRejection;
use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::answers::{Internal, Unavailable};
use super::client_error::{ClientError, ClientRefused, NOT_CACHED};
use super::credentials;
use crate::metrics::Issuance;
use crate::oauth::client::Client;
use crate::oauth::form::Form;
use crate::oauth::grant::{self, RefreshToken};
use crate::state::Users;

pub(crate) const PATH: &str = "/oauth/revoke";

/// What the form may have, for the document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the form is read by hand: a parameter may be missing or repeated")]
pub(crate) struct RevocationFields {
    /// A refresh token or an access token.
    token: String,
    /// Tokens are known by their form: a hint is not needed.
    token_type_hint: Option<String>,
    /// Unless the client names itself by HTTP Basic.
    client_id: Option<String>,
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// Revokes a token and whatever else came of its grant
#[utoipa::path(post, path = PATH, tag = "oauth",
    request_body(content = RevocationFields, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is good no longer, or never was"),
        ClientRefused, Internal, Unavailable,
    ),
    security((), ("client" = [])))]
pub(crate) async fn revoke(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
    form: Result<RawForm, RawFormRejection>,
) -> Result<Response, ClientError> {
    let form = Form::parse(&form?.0)?;
    if form.repeats() {
        return Err(ClientError::Request("a parameter is given more than once"));
    }
    let client = credentials::authenticate(&users, &headers, &form).await?;
    let token = form.required("token")?;
    match RefreshToken::parse(token) {
        Some(token) => revoke_refresh(&users, &client, &token).await?,
        None => revoke_access(&users, &client, token).await?,
    }
    Ok((StatusCode::OK, NOT_CACHED).into_response())
}

async fn revoke_refresh(
    users: &Users,
    client: &Client,
    token: &RefreshToken,
) -> Result<(), ClientError> {
    match users.grants.client_of(token).await? {
        // Whatever it is, it opens nothing: that is all that was asked for (section 2.2).
        None => Ok(()),
        Some(owner) if owner == client.id => {
            users.grants.revoke_family(token).await?;
            users.metrics.issued(Issuance::Revoked);
            Ok(())
        }
        Some(_) => Err(ClientError::Grant("another client's refresh token")),
    }
}

async fn revoke_access(users: &Users, client: &Client, token: &str) -> Result<(), ClientError> {
    let Ok(claims) = users.issuer.verify(&users.keys.keys(), token, users.clock.now()) else {
        return Ok(());
    };
    if claims.client_id.as_deref() != Some(&*client.id) {
        return Err(ClientError::Grant("another client's access token"));
    }
    let Some(id) = claims.grant_id else {
        return Err(ClientError::TokenType);
    };
    grant::revoke(users.database.pool(), &id.to_string()).await?;
    users.metrics.issued(Issuance::Revoked);
    Ok(())
}
