//! Authorization codes: good once, for a minute, for the client and the address they were sent
//! to, and for whoever knows the verifier of their challenge (RFC 6749, section 4.1.2; RFC 7636).
//!
//! The first attempt of its client uses a code up, whatever comes of it. A second one ends what
//! the first got: one of the two was a thief's.

use std::time::Duration;

use shop_platform::database::Transaction;
use shop_platform::{Database, UnixTime};
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::client::decoding;
use super::pkce::Challenge;
use super::request::AuthorizationRequest;
use crate::error::ApiError;
use crate::scope::Scopes;
use crate::secret;

pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// For how long its reuse is noticed: far longer than an access token is good.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Codes of one account that are kept; the oldest make room.
pub(crate) const PER_ACCOUNT: i64 = 50;

/// What a code stands for.
#[derive(Debug)]
pub(crate) struct Code {
    id: String,
    pub(crate) account: Uuid,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Scopes,
    pub(crate) challenge: Challenge,
    pub(crate) nonce: Option<String>,
    pub(crate) auth_time: UnixTime,
    expires_at: UnixTime,
}

impl Code {
    pub(crate) fn has_expired(&self, now: UnixTime) -> bool {
        self.expires_at <= now
    }
}

/// What came of a code.
pub(crate) enum Redemption {
    /// It is used up now, which is to be committed.
    Fresh(Box<Code>),
    /// It was used up before, and this grant was issued for it.
    Reused {
        grant_id: Option<String>,
    },
    Unknown,
}

/// The codes in the database.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    database: Database,
}

impl Codes {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Makes a code for an account that has just logged in; `None` if the request gave one
    /// before. The caller holds the account's row.
    pub(crate) async fn issue(
        &self,
        transaction: &mut Transaction,
        request: &AuthorizationRequest,
        account: Uuid,
        now: UnixTime,
    ) -> Result<Option<String>, ApiError> {
        let code = secret::random()?;
        let inserted = sqlx::query(
            "INSERT INTO oauth_codes (id, code_hash, request_id, client_id, account_id, \
             redirect_uri, scope, challenge, nonce, auth_time, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             ON CONFLICT (request_id) DO NOTHING",
        )
        .bind(Uuid::now_v7().to_string())
        .bind(secret::digest(&code))
        .bind(request.jti.to_string())
        .bind(request.client_id.as_str())
        .bind(account.to_string())
        .bind(request.redirect_uri.as_str())
        .bind(request.scope.as_str())
        .bind(request.code_challenge.as_str())
        .bind(request.nonce.clone())
        .bind(now.millis().cast_signed())
        .bind(now.plus(LIFETIME).millis().cast_signed())
        .execute(&mut **transaction)
        .await?;
        sqlx::query(
            "DELETE FROM oauth_codes WHERE account_id = $1 AND id NOT IN \
             (SELECT id FROM oauth_codes WHERE account_id = $1 ORDER BY id DESC LIMIT $2)",
        )
        .bind(account.to_string())
        .bind(PER_ACCOUNT)
        .execute(&mut **transaction)
        .await?;
        Ok((inserted.rows_affected() == 1).then_some(code))
    }

    /// The account that a code of this client was issued to. Its row is locked before the code's,
    /// here as at a login, so that two of them never wait for each other.
    pub(crate) async fn account_of(
        &self,
        transaction: &mut Transaction,
        code: &str,
        client_id: &str,
    ) -> Result<Option<Uuid>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT account_id FROM oauth_codes WHERE code_hash = $1 AND client_id = $2",
        )
        .bind(secret::digest(code))
        .bind(client_id)
        .fetch_optional(&mut **transaction)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.try_get("account_id")?;
        Uuid::parse_str(&id).map(Some).map_err(decoding)
    }

    /// Uses a code up. One statement decides, so that of two attempts at once one is a reuse.
    pub(crate) async fn redeem(
        &self,
        transaction: &mut Transaction,
        code: &str,
        client_id: &str,
        now: UnixTime,
    ) -> Result<Redemption, sqlx::Error> {
        let row = sqlx::query(
            "UPDATE oauth_codes SET used_at = $1 \
             WHERE code_hash = $2 AND client_id = $3 AND used_at IS NULL \
             RETURNING id, account_id, redirect_uri, scope, challenge, nonce, auth_time, \
             expires_at",
        )
        .bind(now.millis().cast_signed())
        .bind(secret::digest(code))
        .bind(client_id)
        .fetch_optional(&mut **transaction)
        .await?;
        if let Some(row) = row {
            return Ok(Redemption::Fresh(Box::new(read(&row)?)));
        }
        let row =
            sqlx::query("SELECT grant_id FROM oauth_codes WHERE code_hash = $1 AND client_id = $2")
                .bind(secret::digest(code))
                .bind(client_id)
                .fetch_optional(&mut **transaction)
                .await?;
        match row {
            Some(row) => Ok(Redemption::Reused { grant_id: row.try_get("grant_id")? }),
            None => Ok(Redemption::Unknown),
        }
    }

    /// Remembers what was issued for a code.
    pub(crate) async fn note_grant(
        &self,
        transaction: &mut Transaction,
        code: &Code,
        grant: Uuid,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE oauth_codes SET grant_id = $1 WHERE id = $2")
            .bind(grant.to_string())
            .bind(code.id.as_str())
            .execute(&mut **transaction)
            .await
            .map(drop)
    }

    /// Drops what is no longer worth noticing.
    pub(crate) async fn prune(&self, now: UnixTime) -> Result<u64, sqlx::Error> {
        sqlx::query("DELETE FROM oauth_codes WHERE expires_at <= $1")
            .bind(now.minus(KEPT).millis().cast_signed())
            .execute(self.database.pool())
            .await
            .map(|done| done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<Code, sqlx::Error> {
    let (account, scope): (String, String) = (row.try_get("account_id")?, row.try_get("scope")?);
    let (auth_time, expires_at): (i64, i64) =
        (row.try_get("auth_time")?, row.try_get("expires_at")?);
    let challenge = Challenge::try_new(row.try_get("challenge")?);
    Ok(Code {
        id: row.try_get("id")?,
        account: Uuid::parse_str(&account).map_err(decoding)?,
        redirect_uri: row.try_get("redirect_uri")?,
        scopes: scope.parse().map_err(decoding)?,
        challenge: challenge.ok_or_else(|| sqlx::Error::Decode("a malformed challenge".into()))?,
        nonce: row.try_get("nonce")?,
        auth_time: UnixTime::from_millis(auth_time.cast_unsigned()),
        expires_at: UnixTime::from_millis(expires_at.cast_unsigned()),
    })
}
