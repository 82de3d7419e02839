//! The authorization endpoint (RFC 6749, section 3.1): shows the login form, takes it back, sends
//! the user on to the client with a code.
//!
//! Nobody stays logged in here, so that there is no session to steal and none to ride on.

use std::sync::Arc;

use axum::extract::rejection::RawFormRejection;
use axum::extract::{RawForm, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use shop_platform::database::is_transient;
use shop_platform::{Problem, UnixTime};

use super::answers::{Html, Internal, Unavailable};
use super::authentication::authenticate;
use super::page::{LoginForm, refuse};
use crate::account::{Account, EmailAddress};
use crate::error::ApiError;
use crate::metrics::Issuance;
use crate::oauth::form::Form;
use crate::oauth::request::{self, AuthorizationRequest, AuthorizeError, Denial, Refusal};
use crate::password::{Password, PasswordError};
use crate::state::Users;
use crate::token::TokenError;

pub(crate) const PATH: &str = request::ENDPOINT;
const UNREADABLE: &str = "The request cannot be read.";

/// Asks the user to log in
///
/// Answers 303 with an error only to an address that is registered for the client.
#[utoipa::path(get, path = PATH, tag = "oauth",
    params(
        ("client_id" = Option<String>, Query, description = "The client that asks"),
        ("redirect_uri" = Option<String>, Query, description = "One that is registered"),
        ("response_type" = Option<String>, Query, description = "`code`"),
        ("scope" = Option<String>, Query, description = "Words, with a space between them"),
        ("state" = Option<String>, Query, description = "Comes back as it is"),
        ("code_challenge" = Option<String>, Query, description = "RFC 7636"),
        ("code_challenge_method" = Option<String>, Query, description = "`S256`"),
        ("nonce" = Option<String>, Query, description = "Comes back in the ID token"),
        ("prompt" = Option<String>, Query, description = "`none` always fails"),
        ("login_hint" = Option<String>, Query, description = "An email address"),
    ),
    responses(
        (status = 200, description = "A form to log in by", body = Html, content_type = "text/html"),
        (status = 303, description = "Back to the client, with an error"),
        (status = 400, description = "The client or its address is unknown", body = Html,
            content_type = "text/html"),
        Internal, Unavailable,
    ))]
pub(crate) async fn begin(State(users): State<Arc<Users>>, RawQuery(query): RawQuery) -> Response {
    match Form::parse(query.unwrap_or_default().as_bytes()) {
        Ok(form) => show(&users, &form).await,
        Err(_) => refuse(StatusCode::BAD_REQUEST, UNREADABLE),
    }
}

/// Takes the login form, or an authorization request that is sent as a form
#[utoipa::path(post, path = PATH, tag = "oauth",
    request_body(content = LoginFields, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A form to log in by", body = Html, content_type = "text/html"),
        (status = 303, description = "Back to the client, with a code or an error"),
        (status = 400, description = "The form was used, has expired or is not ours", body = Html,
            content_type = "text/html"),
        (status = 401, description = "The form once more", body = Html, content_type = "text/html"),
        (status = 403, description = "The form was sent by another site", body = Html,
            content_type = "text/html"),
        (status = 413, description = "The form is too large", body = Html,
            content_type = "text/html"),
        (status = 429, description = "Too many attempts: the form once more", body = Html,
            content_type = "text/html"),
        Internal, Unavailable,
    ))]
pub(crate) async fn finish(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
    form: Result<RawForm, RawFormRejection>,
) -> Response {
    let form = match read(form) {
        Ok(form) => form,
        Err((status, message)) => return refuse(status, message),
    };
    match form.value("authorization") {
        // OpenID Connect Core, section 3.1.2.1: a request may come by POST as well.
        Ok(None) => show(&users, &form).await,
        Ok(Some(signed)) => match log_in(&users, &headers, &form, signed).await {
            Ok(response) | Err(response) => response,
        },
        Err(_) => refuse(StatusCode::BAD_REQUEST, "The form is not one of ours."),
    }
}

/// What the login form has, for the document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the form is read by hand: a parameter may be missing or repeated")]
pub(crate) struct LoginFields {
    /// The signed request.
    authorization: Option<String>,
    email: Option<String>,
    #[schema(format = Password)]
    password: Option<String>,
    /// `cancel`, to go back without a code.
    decision: Option<String>,
}

/// What was posted, or what to say of it.
fn read(form: Result<RawForm, RawFormRejection>) -> Result<Form, (StatusCode, &'static str)> {
    let RawForm(bytes) = form.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "The form is too large."),
        _ => (StatusCode::BAD_REQUEST, UNREADABLE),
    })?;
    Form::parse(&bytes).map_err(|_| (StatusCode::BAD_REQUEST, UNREADABLE))
}

async fn show(users: &Users, form: &Form) -> Response {
    let now = users.clock.now();
    let request = match AuthorizationRequest::read(form, &users.clients, &users.issuer, now).await {
        Ok(request) => request,
        Err(Refusal::Page(message)) => return refuse(StatusCode::BAD_REQUEST, message),
        Err(Refusal::Redirect(denial)) => return denied(users, &denial),
        Err(Refusal::Api(error)) => return error.into_response(),
    };
    match request.sign(&users.keys.keys(), now) {
        Ok(signed) => {
            let email = form.value("login_hint").ok().flatten().unwrap_or_default();
            let form = LoginForm { request: &request, signed: &signed, email, message: None };
            form.show(StatusCode::OK)
        }
        Err(error) => failed(users, request, &error.into()),
    }
}

/// From the form to the redirect. Both sides of the result are answers.
async fn log_in(
    users: &Users,
    headers: &HeaderMap,
    form: &Form,
    signed: &str,
) -> Result<Response, Response> {
    if !is_same_origin(headers) {
        return Err(refuse(StatusCode::FORBIDDEN, "The form was sent by another site."));
    }
    let now = users.clock.now();
    let request = AuthorizationRequest::open(signed, &users.issuer, &users.keys.keys(), now);
    let request = request.map_err(|error| {
        let message = match error {
            TokenError::Expired => "The form has expired.",
            TokenError::Invalid | TokenError::Sign(_) => "The form is not one of ours.",
        };
        refuse(StatusCode::BAD_REQUEST, message)
    })?;
    if form.value("decision") == Ok(Some("cancel")) {
        let denial = request.deny(AuthorizeError::AccessDenied, "the user did not log in");
        return Err(denied(users, &denial));
    }
    let field = |name| form.value(name).ok().flatten().unwrap_or_default();
    let account = match account(users, field("email"), field("password"), now).await {
        Ok(account) => account,
        Err(error) => return Err(again(users, request, signed, field("email"), &error)),
    };
    match issue(users, &request, &account, now).await {
        Ok(Some(code)) => {
            users.metrics.issued(Issuance::Code);
            Ok(redirect(&request.answer(&code, users.issuer.url())))
        }
        Ok(None) => Err(refuse(StatusCode::BAD_REQUEST, "The form was used before.")),
        Err(error) => Err(failed(users, request, &error)),
    }
}

/// What is no address has no account: it fails like a wrong password.
async fn account(
    users: &Users,
    email: &str,
    password: &str,
    now: UnixTime,
) -> Result<Account, ApiError> {
    let email = EmailAddress::try_new(email).map_err(|_| ApiError::Credentials)?;
    authenticate(users, &email, Password::attempt(password.to_owned()), now).await
}

async fn issue(
    users: &Users,
    request: &AuthorizationRequest,
    account: &Account,
    now: UnixTime,
) -> Result<Option<String>, ApiError> {
    let mut transaction = users.database.begin_write().await?;
    users.accounts.lock(&mut transaction, account.id).await?;
    let code = users.codes.issue(&mut transaction, request, account.id, now).await?;
    users.database.commit(transaction, "users.authorize").await?;
    Ok(code)
}

/// The form once more if the user can do better, or else word to the client.
fn again(
    users: &Users,
    request: AuthorizationRequest,
    signed: &str,
    email: &str,
    error: &ApiError,
) -> Response {
    let (status, message, wait) = match error {
        ApiError::Credentials => {
            (StatusCode::UNAUTHORIZED, "The email address or the password is wrong.", None)
        }
        ApiError::Throttled { retry_after_seconds } => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many attempts for this account. Wait a little and try again.",
            Some(*retry_after_seconds),
        ),
        error => return failed(users, request, error),
    };
    let form = LoginForm { request: &request, signed, email, message: Some(message) };
    let mut response = form.show(status);
    if let Some(seconds) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn failed(users: &Users, request: AuthorizationRequest, error: &ApiError) -> Response {
    tracing::error!(%error, "an authorization request failed");
    let (error, description) = told(error);
    denied(users, &request.deny(error, description))
}

/// A failure as the client learns of it.
fn told(error: &ApiError) -> (AuthorizeError, &'static str) {
    match error {
        ApiError::Password(PasswordError::Busy) => {
            (AuthorizeError::TemporarilyUnavailable, "too many logins at once")
        }
        ApiError::Database(error) if is_transient(error) => {
            (AuthorizeError::TemporarilyUnavailable, "the service is busy")
        }
        _ => (AuthorizeError::ServerError, "the service failed"),
    }
}

fn denied(users: &Users, denial: &Denial) -> Response {
    redirect(&denial.answer(users.issuer.url()))
}

/// 303: the browser forgets the password that it has just sent (RFC 9700, section 4.12).
fn redirect(target: &str) -> Response {
    let Ok(target) = HeaderValue::try_from(target) else {
        return Problem::internal().into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, target);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What browsers say of themselves (Fetch Metadata); programs say nothing and type no passwords.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, None | Some(b"same-origin" | b"none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_by_itself_is_told_apart() {
        use AuthorizeError::{ServerError, TemporarilyUnavailable};
        let check = |error: ApiError, expected| assert_eq!(told(&error).0, expected, "{error}");
        check(PasswordError::Busy.into(), TemporarilyUnavailable);
        check(sqlx::Error::PoolTimedOut.into(), TemporarilyUnavailable);
        check(sqlx::Error::PoolClosed.into(), ServerError);
        check(PasswordError::Interrupted.into(), ServerError);
        check(ApiError::NoKey, ServerError);
    }

    #[test]
    fn only_our_own_page_sends_the_form() {
        let check = |site: Option<&'static str>, expected| {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(is_same_origin(&headers), expected, "{site:?}");
        };
        check(None, true);
        check(Some("same-origin"), true);
        check(Some("none"), true);
        check(Some("same-site"), false);
        check(Some("cross-site"), false);
        check(Some("anything"), false);
    }
}
