//! The token endpoint (RFC 6749, section 3.2): codes, refresh tokens and clients' own secrets
//! become access tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::RawFormRejection;
use axum::extract::{RawForm, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shop_platform::UnixTime;
use utoipa::ToSchema;

use super::answers::{Internal, Unavailable};
use super::client_error::{ClientError, ClientRefused, NOT_CACHED};
use super::credentials;
use crate::error::ApiError;
use crate::metrics::Issuance;
use crate::oauth::client::{Client, GrantType};
use crate::oauth::code::{Code, Redemption};
use crate::oauth::form::Form;
use crate::oauth::grant::{self, Grant, NewGrant, RefreshToken, Rotation};
use crate::oauth::id_token::{self, Login};
use crate::scope::{OFFLINE_ACCESS, OPENID, Scopes};
use crate::state::Users;
use crate::token::Subject;

pub(crate) const PATH: &str = "/oauth/token";

/// Section 5.1, and OpenID Connect Core, section 3.1.3.3.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAnswer {
    /// A JWT by ES256; its key is one of the published.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    /// What was granted: words, with a space between them.
    scope: String,
    /// Good once: each use answers with the next one. Only with the scope `offline_access`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Only with the scope `openid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// What the form may have, for the document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the form is read by hand: a parameter may be missing or repeated")]
pub(crate) struct TokenFields {
    /// `authorization_code`, `refresh_token` or `client_credentials`.
    grant_type: String,
    /// Unless the client names itself by HTTP Basic.
    client_id: Option<String>,
    #[schema(format = Password)]
    client_secret: Option<String>,
    code: Option<String>,
    /// The one of the authorization request.
    redirect_uri: Option<String>,
    /// RFC 7636.
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    /// Fewer than were granted, for this one access token; or what a client wants for itself.
    scope: Option<String>,
}

/// Issues tokens
#[utoipa::path(post, path = PATH, tag = "oauth",
    request_body(content = TokenFields, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The tokens", body = TokenAnswer),
        ClientRefused, Internal, Unavailable,
    ),
    security((), ("client" = [])))]
pub(crate) async fn token(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
    form: Result<RawForm, RawFormRejection>,
) -> Result<Response, ClientError> {
    let form = Form::parse(&form?.0)?;
    if form.repeats() {
        return Err(ClientError::Request("a parameter is given more than once"));
    }
    let client = credentials::authenticate(&users, &headers, &form).await?;
    let grant_type =
        GrantType::parse(form.required("grant_type")?).ok_or(ClientError::GrantType)?;
    if !client.may_use(grant_type) {
        return Err(ClientError::Unauthorized);
    }
    let now = users.clock.now();
    let answer = match grant_type {
        GrantType::AuthorizationCode => exchange(&users, &client, &form, now).await?,
        GrantType::RefreshToken => refresh(&users, &client, &form, now).await?,
        GrantType::ClientCredentials => own(&users, &client, &form, now)?,
    };
    Ok((NOT_CACHED, Json(answer)).into_response())
}

/// A code for tokens.
async fn exchange(
    users: &Users,
    client: &Client,
    form: &Form,
    now: UnixTime,
) -> Result<TokenAnswer, ClientError> {
    let presented = form.required("code")?;
    let (redirect_uri, verifier) =
        (form.required("redirect_uri")?, form.required("code_verifier")?);
    let mut transaction = users.database.begin_write().await?;
    let account = users.codes.account_of(&mut transaction, presented, &client.id).await?;
    let account = account.ok_or(ClientError::Grant("an unknown code"))?;
    users.accounts.lock(&mut transaction, account).await?;
    let code = match users.codes.redeem(&mut transaction, presented, &client.id, now).await? {
        Redemption::Fresh(code) => code,
        Redemption::Unknown => return Err(ClientError::Grant("an unknown code")),
        Redemption::Reused { grant_id } => {
            if let Some(id) = grant_id {
                grant::revoke(&mut *transaction, &id).await?;
            }
            users.database.commit(transaction, "users.code-reused").await?;
            users.metrics.issued(Issuance::CodeReused);
            return Err(ClientError::Grant("a code that was used before"));
        }
    };
    if let Err(reason) = check(&code, redirect_uri, verifier, now) {
        users.database.commit(transaction, "users.code-refused").await?;
        return Err(ClientError::Grant(reason));
    }
    let new = NewGrant {
        account: code.account,
        client_id: &client.id,
        scopes: &code.scopes,
        auth_time: code.auth_time,
        offline: code.scopes.contains(OFFLINE_ACCESS) && client.may_use(GrantType::RefreshToken),
    };
    let (id, refresh_token) = users.grants.insert(&mut transaction, &new, now).await?;
    users.codes.note_grant(&mut transaction, &code, id).await?;
    let (account, scopes, auth_time) = (code.account, code.scopes.clone(), code.auth_time);
    let grant = Grant { id, account, scopes, auth_time };
    let answer = answer(users, client, &grant, &grant.scopes, code.nonce, refresh_token, now)?;
    users.database.commit(transaction, "users.code").await?;
    users.metrics.issued(Issuance::CodeExchanged);
    Ok(answer)
}

fn check(
    code: &Code,
    redirect_uri: &str,
    verifier: &str,
    now: UnixTime,
) -> Result<(), &'static str> {
    if code.has_expired(now) {
        Err("a code that has expired")
    } else if code.redirect_uri != redirect_uri {
        Err("a code that was sent to another address")
    } else if !code.challenge.is_met_by(verifier) {
        Err("a verifier that does not meet the challenge")
    } else {
        Ok(())
    }
}

/// A refresh token for the next one and an access token.
async fn refresh(
    users: &Users,
    client: &Client,
    form: &Form,
    now: UnixTime,
) -> Result<TokenAnswer, ClientError> {
    let unknown = ClientError::Grant("an unknown refresh token");
    let Some(presented) = RefreshToken::parse(form.required("refresh_token")?) else {
        return Err(unknown);
    };
    let wanted = scopes(form)?;
    let mut transaction = users.database.begin_write().await?;
    let rotation = users.grants.rotate(&mut transaction, &presented, &client.id, now).await?;
    let (grant, next) = match rotation {
        Rotation::Rotated(grant, next) => (grant, next),
        Rotation::Unknown => return Err(unknown),
        Rotation::Reused => {
            users.database.commit(transaction, "users.refresh-reused").await?;
            users.metrics.issued(Issuance::RefreshReused);
            return Err(ClientError::Grant("a refresh token that was used before"));
        }
    };
    let scopes = wanted.as_ref().unwrap_or(&grant.scopes);
    // Nothing is committed: the token that came with a wrong scope stays good.
    if !scopes.is_subset(&grant.scopes) {
        return Err(ClientError::Scope);
    }
    let answer = answer(users, client, &grant, scopes, None, Some(next), now)?;
    users.database.commit(transaction, "users.refresh").await?;
    users.metrics.issued(Issuance::Refreshed);
    Ok(answer)
}

/// An access token for the client itself; all that it may have unless it asks for less.
fn own(
    users: &Users,
    client: &Client,
    form: &Form,
    now: UnixTime,
) -> Result<TokenAnswer, ClientError> {
    let wanted = scopes(form)?.unwrap_or_else(|| client.scopes.clone());
    if !wanted.is_subset(&client.scopes) {
        return Err(ClientError::Scope);
    }
    let scope = wanted.to_string();
    let subject =
        Subject { id: client.subject, scope: &scope, client_id: Some(&client.id), grant_id: None };
    let issued = users.issuer.issue(&users.keys.keys(), &subject, now).map_err(ApiError::from)?;
    users.metrics.issued(Issuance::Own);
    Ok(TokenAnswer {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
        scope,
        refresh_token: None,
        id_token: None,
    })
}

/// The scopes that a request names; none if it leaves them to what was granted.
fn scopes(form: &Form) -> Result<Option<Scopes>, ClientError> {
    let Some(text) = form.value("scope")? else { return Ok(None) };
    let scopes: Scopes = text.parse().map_err(|_| ClientError::Scope)?;
    if scopes.is_empty() { Err(ClientError::Scope) } else { Ok(Some(scopes)) }
}

fn answer(
    users: &Users,
    client: &Client,
    grant: &Grant,
    scopes: &Scopes,
    nonce: Option<String>,
    refresh_token: Option<RefreshToken>,
    now: UnixTime,
) -> Result<TokenAnswer, ApiError> {
    let (keys, scope) = (users.keys.keys(), scopes.to_string());
    let subject = Subject {
        id: grant.account,
        scope: &scope,
        client_id: Some(&client.id),
        grant_id: Some(grant.id),
    };
    let issued = users.issuer.issue(&keys, &subject, now)?;
    let login =
        Login { account: grant.account, client_id: &client.id, auth_time: grant.auth_time, nonce };
    let id_token = scopes
        .contains(OPENID)
        .then(|| id_token::issue(&users.issuer, &keys, login, &issued.token, now))
        .transpose()?;
    Ok(TokenAnswer {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
        scope,
        refresh_token: refresh_token.map(|token| token.text()),
        id_token,
    })
}
