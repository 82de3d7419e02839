//! Writes that may be sent twice: the second one gets the first one's answer.
//!
//! A client names its write by the header `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header). The claim of a key, the write and the answer are
//! one transaction: a write that was rolled back leaves its key free, and of two at the same time
//! one waits for the other. Keys belong to their owner, so that nobody reads another's answer.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sqlx::Row;

use crate::clock::UnixTime;
use crate::database::{Database, Transaction, is_lock_timeout};
use crate::problem::Problem;

/// To be listed among a service's migrations.
pub const MIGRATION: (&str, &str) = (
    "idempotency keys",
    "CREATE TABLE idempotency_keys (
         owner TEXT NOT NULL,
         idempotency_key TEXT NOT NULL,
         fingerprint TEXT NOT NULL,
         status BIGINT,
         body TEXT,
         claimed_at BIGINT NOT NULL,
         PRIMARY KEY (owner, idempotency_key)
     );
     CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at)",
);

pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Set on an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const KEY_LIMIT: usize = 128;
/// How long a key is known after its first use.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// The client's name for one write: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Whether a write is to be made.
#[derive(Debug)]
pub enum Claim {
    /// It is: the key is the transaction's own.
    New(Slot),
    /// It was made before: this was the answer.
    Known(StoredResponse),
}

/// A claimed key that waits for its answer. Rolled back with its transaction.
#[derive(Debug)]
#[must_use = "a key without an answer is a conflict for whoever repeats the write"]
pub struct Slot {
    owner: String,
    key: String,
}

/// An answer in JSON, as it was given first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: StatusCode,
    pub body: String,
    replayed: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    #[error("the idempotency key was used for another request")]
    Mismatch,
    #[error("a request with this idempotency key is being worked on")]
    InProgress,
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl IdempotencyError {
    pub fn problem(&self) -> Problem {
        match self {
            Self::Mismatch => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key was used for another request",
            ),
            Self::InProgress => Problem::new(
                StatusCode::CONFLICT,
                "idempotency-key-in-progress",
                "A request with this idempotency key is being worked on",
            )
            .retry_after(1),
            Self::Database(error) => Problem::of_database(error),
        }
    }
}

/// Claims `key` for a write of `owner`; `fingerprint` tells requests apart (see [`fingerprint`]).
/// In a transaction of [`Database::begin_write`].
pub async fn claim(
    transaction: &mut Transaction,
    owner: &str,
    key: &IdempotencyKey,
    fingerprint: &str,
    now: UnixTime,
) -> Result<Claim, IdempotencyError> {
    let forgotten = now.minus(KNOWN_FOR).millis().cast_signed();
    // Waits for a transaction that has claimed the key and is not through yet. An old claim is
    // taken over in place, under the lock of its row.
    let claimed = sqlx::query(
        "INSERT INTO idempotency_keys \
             (owner, idempotency_key, fingerprint, status, body, claimed_at) \
         VALUES ($1, $2, $3, NULL, NULL, $4) \
         ON CONFLICT (owner, idempotency_key) DO UPDATE SET \
             fingerprint = excluded.fingerprint, status = NULL, body = NULL, \
             claimed_at = excluded.claimed_at \
         WHERE idempotency_keys.claimed_at < $5",
    )
    .bind(owner)
    .bind(&key.0)
    .bind(fingerprint)
    .bind(now.millis().cast_signed())
    .bind(forgotten)
    .execute(&mut **transaction)
    .await;
    let claimed = match claimed {
        Err(error) if is_lock_timeout(&error) => return Err(IdempotencyError::InProgress),
        claimed => claimed?.rows_affected(),
    };
    if claimed > 0 {
        return Ok(Claim::New(Slot { owner: owner.to_owned(), key: key.0.clone() }));
    }
    let row = sqlx::query(
        "SELECT fingerprint, status, body FROM idempotency_keys \
         WHERE owner = $1 AND idempotency_key = $2",
    )
    .bind(owner)
    .bind(&key.0)
    .fetch_optional(&mut **transaction)
    .await?;
    // Gone again: pruned in between.
    let Some(row) = row else { return Err(IdempotencyError::InProgress) };
    if row.try_get::<String, _>("fingerprint")? != fingerprint {
        return Err(IdempotencyError::Mismatch);
    }
    let (status, body): (Option<i64>, Option<String>) =
        (row.try_get("status")?, row.try_get("body")?);
    let status = status.and_then(|status| u16::try_from(status).ok());
    match (status.and_then(|status| StatusCode::from_u16(status).ok()), body) {
        (Some(status), Some(body)) => {
            Ok(Claim::Known(StoredResponse { status, body, replayed: true }))
        }
        _ => Err(IdempotencyError::InProgress),
    }
}

/// What makes a request the same as another: its method, its path and its body as parsed.
pub fn fingerprint(method: &str, path: &str, body: &impl Serialize) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    // A body that came in as JSON can go out as JSON; if it cannot, all such are the same.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let hash = Sha256::new()
        .chain_update(method)
        .chain_update([0])
        .chain_update(path)
        .chain_update([0])
        .chain_update(body)
        .finalize();
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Forgets keys that are old enough.
pub(crate) async fn prune(database: &Database, now: UnixTime) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM idempotency_keys WHERE claimed_at < $1")
        .bind(now.minus(KNOWN_FOR).millis().cast_signed())
        .execute(database.pool())
        .await
        .map(drop)
}

impl Slot {
    /// Keeps the answer with the key, in the transaction that claimed it.
    pub async fn keep(
        self,
        transaction: &mut Transaction,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<StoredResponse, sqlx::Error> {
        let body =
            serde_json::to_string(body).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(
            "UPDATE idempotency_keys SET status = $1, body = $2 \
             WHERE owner = $3 AND idempotency_key = $4",
        )
        .bind(i64::from(status.as_u16()))
        .bind(&body)
        .bind(&self.owner)
        .bind(&self.key)
        .execute(&mut **transaction)
        .await?;
        Ok(StoredResponse { status, body, replayed: false })
    }
}

impl IntoResponse for StoredResponse {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl IdempotencyKey {
    /// Bare or, as the draft writes it, between quotation marks.
    pub fn try_new(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let known = (1..=KEY_LIMIT).contains(&bare.len())
            && bare.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        known.then(|| Self(bare.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(&HEADER).iter();
        let Some(value) = values.next() else {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "idempotency-key-missing",
                "The request needs an Idempotency-Key header",
            ));
        };
        let key = value.to_str().ok().filter(|_| values.next().is_none());
        key.and_then(Self::try_new).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "idempotency-key-malformed",
                "The Idempotency-Key must be one of 1 to 128 visible ASCII characters",
            )
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

#[cfg(test)]
mod tests;
