//! Grants: what accounts allowed clients, and the refresh tokens that go with them.
//!
//! A refresh token is two secrets end to end: the first names its family, which is the grant, and
//! stays the same over all rotations; the second is new with each (RFC 9700, section 4.14). Only
//! the digests of both are kept, of the second only the latest. So a token of a known family that
//! is not the latest one was rotated away before, however long ago: somebody has a copy, and the
//! family ends. No history is needed that could grow or be washed out.
//!
//! There is no time of grace for the token before: two uses at once are told apart from a theft
//! by nobody. A client whose answer got lost asks its user to log in again.

use std::time::Duration;

use shop_platform::database::Transaction;
use shop_platform::{Database, StartError, UnixTime};
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::client::decoding;
use crate::error::ApiError;
use crate::scope::Scopes;
use crate::secret;

/// Grants of one account; a new one beyond that ends the oldest.
pub(crate) const PER_ACCOUNT: i64 = 50;

/// How long refresh tokens are good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefreshPolicy {
    idle: Duration,
    lifetime: Duration,
}

impl RefreshPolicy {
    /// `idle`: without use; `lifetime`: since the login, however often they are used.
    pub(crate) fn try_new(
        idle: Duration,
        lifetime: Duration,
        token_lifetime: Duration,
    ) -> Result<Self, StartError> {
        if idle < token_lifetime {
            let reason = "must be at least --token-lifetime";
            return Err(StartError::Option { option: "refresh-idle", reason });
        }
        if lifetime < idle {
            let reason = "must be at least --refresh-idle";
            return Err(StartError::Option { option: "refresh-lifetime", reason });
        }
        Ok(Self { idle, lifetime })
    }
}

/// A refresh token as its client has it. It prints as nothing.
pub(crate) struct RefreshToken {
    family: String,
    secret: String,
}

impl RefreshToken {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (family, secret) = text.split_at_checked(secret::LENGTH)?;
        let well_formed = secret::is_secret(family) && secret::is_secret(secret);
        well_formed.then(|| Self { family: family.to_owned(), secret: secret.to_owned() })
    }

    /// The first one of a family.
    fn first() -> Result<Self, getrandom::Error> {
        Ok(Self { family: secret::random()?, secret: secret::random()? })
    }

    fn next(&self) -> Result<Self, getrandom::Error> {
        Ok(Self { family: self.family.clone(), secret: secret::random()? })
    }

    fn family_hash(&self) -> String {
        secret::digest(&self.family)
    }

    fn hash(&self) -> String {
        secret::digest(&self.text())
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.family, self.secret)
    }
}

/// What is to be granted.
#[derive(Debug)]
pub(crate) struct NewGrant<'a> {
    pub(crate) account: Uuid,
    pub(crate) client_id: &'a str,
    pub(crate) scopes: &'a Scopes,
    pub(crate) auth_time: UnixTime,
    /// Whether refresh tokens go with it.
    pub(crate) offline: bool,
}

#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    pub(crate) scopes: Scopes,
    pub(crate) auth_time: UnixTime,
}

/// What came of a refresh token.
pub(crate) enum Rotation {
    Rotated(Grant, RefreshToken),
    /// It was rotated before; its family is gone now, which is to be committed.
    Reused,
    Unknown,
}

/// The grants in the database.
#[derive(Debug, Clone)]
pub(crate) struct Grants {
    database: Database,
    policy: RefreshPolicy,
    token_lifetime: Duration,
}

impl Grants {
    pub(crate) fn new(database: Database, policy: RefreshPolicy, token_lifetime: Duration) -> Self {
        Self { database, policy, token_lifetime }
    }

    /// Adds a grant, and ends the account's oldest beyond [`PER_ACCOUNT`]. The caller holds the
    /// account's row.
    pub(crate) async fn insert(
        &self,
        transaction: &mut Transaction,
        new: &NewGrant<'_>,
        now: UnixTime,
    ) -> Result<(Uuid, Option<RefreshToken>), ApiError> {
        let id = Uuid::now_v7();
        let token = if new.offline { Some(RefreshToken::first()?) } else { None };
        // Without refresh tokens the grant is there for its one access token.
        let (expires_at, ends_at) = if new.offline {
            (now.plus(self.policy.idle), now.plus(self.policy.lifetime))
        } else {
            (now.plus(self.token_lifetime), now.plus(self.token_lifetime))
        };
        sqlx::query(
            "INSERT INTO oauth_grants (id, account_id, client_id, scope, auth_time, \
             family_hash, token_hash, expires_at, ends_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id.to_string())
        .bind(new.account.to_string())
        .bind(new.client_id)
        .bind(new.scopes.to_string())
        .bind(new.auth_time.millis().cast_signed())
        .bind(token.as_ref().map(RefreshToken::family_hash))
        .bind(token.as_ref().map(RefreshToken::hash))
        .bind(expires_at.millis().cast_signed())
        .bind(ends_at.millis().cast_signed())
        .execute(&mut **transaction)
        .await?;
        sqlx::query(
            "DELETE FROM oauth_grants WHERE account_id = $1 AND id NOT IN \
             (SELECT id FROM oauth_grants WHERE account_id = $1 ORDER BY id DESC LIMIT $2)",
        )
        .bind(new.account.to_string())
        .bind(PER_ACCOUNT)
        .execute(&mut **transaction)
        .await?;
        Ok((id, token))
    }

    /// Replaces the presented token by the next one. One statement decides, so that of two uses
    /// at once one is a reuse.
    pub(crate) async fn rotate(
        &self,
        transaction: &mut Transaction,
        presented: &RefreshToken,
        client_id: &str,
        now: UnixTime,
    ) -> Result<Rotation, ApiError> {
        let next = presented.next()?;
        let row = sqlx::query(
            "UPDATE oauth_grants SET token_hash = $1, \
             expires_at = CASE WHEN ends_at < $2 THEN ends_at ELSE $2 END \
             WHERE family_hash = $3 AND token_hash = $4 AND client_id = $5 AND expires_at > $6 \
             RETURNING id, account_id, scope, auth_time",
        )
        .bind(next.hash())
        .bind(now.plus(self.policy.idle).millis().cast_signed())
        .bind(presented.family_hash())
        .bind(presented.hash())
        .bind(client_id)
        .bind(now.millis().cast_signed())
        .fetch_optional(&mut **transaction)
        .await?;
        if let Some(row) = row {
            return Ok(Rotation::Rotated(grant(&row)?, next));
        }
        // What is another client's or has expired stays as it is.
        let ended = sqlx::query(
            "DELETE FROM oauth_grants \
             WHERE family_hash = $1 AND token_hash <> $2 AND client_id = $3 AND expires_at > $4",
        )
        .bind(presented.family_hash())
        .bind(presented.hash())
        .bind(client_id)
        .bind(now.millis().cast_signed())
        .execute(&mut **transaction)
        .await?;
        Ok(if ended.rows_affected() > 0 { Rotation::Reused } else { Rotation::Unknown })
    }

    /// Whether a grant is neither revoked nor over.
    pub(crate) async fn is_live(&self, id: Uuid, now: UnixTime) -> Result<bool, sqlx::Error> {
        let row = sqlx::query("SELECT id FROM oauth_grants WHERE id = $1 AND expires_at > $2")
            .bind(id.to_string())
            .bind(now.millis().cast_signed())
            .fetch_optional(self.database.pool())
            .await?;
        Ok(row.is_some())
    }

    /// The client that a refresh token was issued to.
    pub(crate) async fn client_of(
        &self,
        token: &RefreshToken,
    ) -> Result<Option<String>, sqlx::Error> {
        let row = sqlx::query("SELECT client_id FROM oauth_grants WHERE family_hash = $1")
            .bind(token.family_hash())
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| row.try_get("client_id")).transpose()
    }

    /// Ends the family of a refresh token, whichever of the family it is.
    pub(crate) async fn revoke_family(&self, token: &RefreshToken) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM oauth_grants WHERE family_hash = $1")
            .bind(token.family_hash())
            .execute(self.database.pool())
            .await
            .map(drop)
    }

    /// Drops what is over.
    pub(crate) async fn prune(&self, now: UnixTime) -> Result<u64, sqlx::Error> {
        sqlx::query("DELETE FROM oauth_grants WHERE expires_at <= $1")
            .bind(now.millis().cast_signed())
            .execute(self.database.pool())
            .await
            .map(|done| done.rows_affected())
    }
}

/// Ends a grant and with it every token that came of it.
pub(crate) async fn revoke<'e>(
    executor: impl sqlx::Executor<'e, Database = sqlx::Any>,
    id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM oauth_grants WHERE id = $1").bind(id).execute(executor).await.map(drop)
}

fn grant(row: &AnyRow) -> Result<Grant, sqlx::Error> {
    let (id, account): (String, String) = (row.try_get("id")?, row.try_get("account_id")?);
    let (scope, auth_time): (String, i64) = (row.try_get("scope")?, row.try_get("auth_time")?);
    Ok(Grant {
        id: Uuid::parse_str(&id).map_err(decoding)?,
        account: Uuid::parse_str(&account).map_err(decoding)?,
        scopes: scope.parse().map_err(decoding)?,
        auth_time: UnixTime::from_millis(auth_time.cast_unsigned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_two_halves_and_the_first_stays() {
        let first = RefreshToken::first().unwrap();
        let next = first.next().unwrap();
        assert_eq!(first.family_hash(), next.family_hash());
        assert_ne!(first.hash(), next.hash());
        assert_eq!(RefreshToken::parse(&first.text()).unwrap().hash(), first.hash());
        let text = first.text();
        let with_mark = text.replacen(&text[50..51], "+", 1);
        for bad in ["", &text[1..], &format!("{text}a"), &with_mark, &"ä".repeat(43)] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn lifetimes_that_make_no_sense_are_refused() {
        let seconds = Duration::from_secs;
        let check = |idle, lifetime, good| {
            let policy = RefreshPolicy::try_new(seconds(idle), seconds(lifetime), seconds(900));
            assert_eq!(policy.is_ok(), good, "{idle} {lifetime}");
        };
        check(900, 900, true);
        check(899, 9000, false);
        check(1000, 999, false);
    }
}
