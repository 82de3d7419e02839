//! Registration: an account and the news of it, in one commit.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shop_platform::extract::JsonBody;
use shop_platform::idempotency::{self, Claim, IdempotencyError, IdempotencyKey, StoredResponse};
use shop_platform::problem::{FieldError, ProblemBody};
use shop_platform::{Event, RequestContext, UnixTime, outbox};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answers::{BodyRefused, Internal, NOT_CACHED, Unavailable};
use super::authentication::authenticate;
use super::profile::Profile;
use crate::account::{Account, DisplayName, EmailAddress};
use crate::error::ApiError;
use crate::password::Password;
use crate::secret;
use crate::state::Users;

pub(crate) const PATH: &str = "/v1/users";

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    #[schema(example = "ada@example.com")]
    email: String,
    /// 12 characters at least, 512 bytes at most.
    #[schema(format = Password, min_length = 12, example = "correct horse battery")]
    password: String,
    #[schema(min_length = 1, max_length = 80)]
    display_name: String,
}

/// What others are told of a new account.
#[derive(Serialize)]
struct Registered<'a> {
    account_id: Uuid,
    email: &'a str,
    display_name: &'a str,
}

/// The key of the request, for those who send one. It may be absent here and nowhere else: an
/// address has one account anyway, so that a registration sent twice is noticed without a key.
/// What a key adds is that the second answer is that of the first.
pub(crate) struct OptionalKey(Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for OptionalKey {
    type Rejection = <IdempotencyKey as FromRequestParts<S>>::Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        if !parts.headers.contains_key(idempotency::HEADER) {
            return Ok(Self(None));
        }
        IdempotencyKey::from_request_parts(parts, state).await.map(|key| Self(Some(key)))
    }
}

/// Makes an account
#[utoipa::path(post, path = PATH, tag = "accounts", request_body = Registration,
    params(("idempotency-key" = Option<String>, Header,
        description = "A quoted text, the same for each repetition of one request")),
    responses(
        (status = 201, description = "The account", body = Profile),
        (status = 409, description = "The email address has an account already, or another request \
            with the key is being worked on",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many repetitions with a wrong password",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyRefused, Internal, Unavailable,
    ))]
pub(crate) async fn register(
    State(users): State<Arc<Users>>,
    Extension(context): Extension<RequestContext>,
    OptionalKey(key): OptionalKey,
    JsonBody(body): JsonBody<Registration>,
) -> Result<Response, ApiError> {
    let attempt = key.is_some().then(|| Password::attempt(body.password.clone()));
    let applicant = Applicant::try_new(body).map_err(ApiError::Fields)?;
    let (email, name) = (&applicant.email, &applicant.name);
    // Before it is known whether the address is free, so that both answers take as long.
    let hash = users.passwords.hash(applicant.password).await?;
    let now = users.clock.now();
    let mut transaction = users.database.begin_write().await?;
    let slot = match &key {
        None => None,
        Some(key) => {
            let owner = format!("registration {}", email.key());
            let fingerprint = fingerprint(email, name);
            match idempotency::claim(&mut transaction, &owner, key, &fingerprint, now).await? {
                Claim::New(slot) => Some(slot),
                Claim::Known(answer) => {
                    transaction.rollback().await?;
                    return repeat(&users, email, attempt, answer, now).await;
                }
            }
        }
    };
    let account = users.accounts.insert(&mut transaction, email, name, &hash, now).await?;
    let account = account.ok_or(ApiError::EmailTaken)?;
    outbox::add(&mut transaction, &registered(&account, now, &context)).await?;
    let profile = Profile::of(&account);
    let answer = match slot {
        Some(slot) => {
            slot.keep(&mut transaction, StatusCode::CREATED, &profile).await?.into_response()
        }
        None => (StatusCode::CREATED, Json(profile)).into_response(),
    };
    users.database.commit(transaction, "users.register").await?;
    users.metrics.registrations.inc();
    tracing::info!(account = %account.id, "an account was made");
    Ok((NOT_CACHED, answer).into_response())
}

/// The answer of the first time, to whoever still knows the password: the fingerprint leaves it
/// out, since a fast hash of it has no place in a database. A wrong one is another request, and
/// guessing is throttled like everywhere.
async fn repeat(
    users: &Users,
    email: &EmailAddress,
    attempt: Option<Password>,
    answer: StoredResponse,
    now: UnixTime,
) -> Result<Response, ApiError> {
    let mismatch = || ApiError::Idempotency(IdempotencyError::Mismatch);
    let attempt = attempt.ok_or_else(mismatch)?;
    match authenticate(users, email, attempt, now).await {
        Ok(_) => Ok((NOT_CACHED, answer).into_response()),
        Err(ApiError::Credentials) => Err(mismatch()),
        Err(error) => Err(error),
    }
}

/// A registration whose fields are good.
struct Applicant {
    email: EmailAddress,
    password: Password,
    name: DisplayName,
}

impl Applicant {
    /// Every field that is not good, at once.
    fn try_new(body: Registration) -> Result<Self, Vec<FieldError>> {
        let parts = (
            EmailAddress::try_new(&body.email),
            Password::try_new(body.password),
            DisplayName::try_new(&body.display_name),
        );
        match parts {
            (Ok(email), Ok(password), Ok(name)) => Ok(Self { email, password, name }),
            (email, password, name) => {
                let errors = [email.err(), password.err(), name.err()];
                Err(errors.into_iter().flatten().collect())
            }
        }
    }
}

fn fingerprint(email: &EmailAddress, name: &DisplayName) -> String {
    secret::digest(&format!("POST {PATH}\n{}\n{}", email.as_str(), name.as_str()))
}

fn registered(account: &Account, now: UnixTime, context: &RequestContext) -> Event {
    let data = Registered {
        account_id: account.id,
        email: &account.email,
        display_name: &account.display_name,
    };
    Event::new("users", "user.registered", account.id.to_string(), now, data, context)
}
