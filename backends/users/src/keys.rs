//! The signing keys: made, published, used and dropped by one rule of time.
//!
//! A key is published [`MINIMUM_LEAD`] or more before it first signs, so that whoever caches the
//! published set has it in time. It signs until its successor becomes active, and stays published
//! until the last token that it signed has expired. The first key of all signs at once: nobody can
//! have cached a set without it.
//!
//! The rule reads the database and a moment, so services that share a database agree.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rcgen::KeyPair;
use shop_platform::database::Transaction;
use shop_platform::{Clock, Database, StartError, UnixTime};
use sqlx::Row;

pub const ALGORITHM: Algorithm = Algorithm::ES256;
/// The shortest time between the publication of a key and its first signature. The published set
/// may be cached for as long, and no longer.
pub const MINIMUM_LEAD: Duration = Duration::from_secs(15);
/// How far a verifier's clock may be behind and still find the key of a valid token.
const SKEW: Duration = Duration::from_secs(60);
/// How often the rule is applied, at least.
const UPKEEP: Duration = Duration::from_secs(60);

/// How long keys live.
#[derive(Debug, Clone, Copy)]
pub struct KeyPolicy {
    lifetime: Duration,
    lead: Duration,
    keep: Duration,
}

impl KeyPolicy {
    /// `lifetime`: how long a key signs; `lead`: how long it is published before. Access tokens are
    /// valid for `token_lifetime`, login forms, which are signed too, for `form_lifetime`.
    pub fn try_new(
        lifetime: Duration,
        lead: Duration,
        token_lifetime: Duration,
        form_lifetime: Duration,
    ) -> Result<Self, StartError> {
        if lead < MINIMUM_LEAD {
            return Err(StartError::Option { option: "key-lead", reason: "must be 15s or more" });
        }
        // Then at most one key waits, and only a few are kept.
        if lifetime < lead * 2 || lifetime < token_lifetime {
            let reason = "must be at least twice --key-lead, and at least --token-lifetime";
            return Err(StartError::Option { option: "key-lifetime", reason });
        }
        let keep = token_lifetime.max(form_lifetime) + SKEW;
        Ok(Self { lifetime, lead, keep })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("no key could be generated: {0}")]
    Generate(rcgen::Error),
    #[error("the stored key {kid} cannot be read: {source}")]
    Pem { kid: String, source: rcgen::Error },
    #[error("the key {kid} cannot be used: {source}")]
    Unusable { kid: String, source: jsonwebtoken::errors::Error },
}

/// A key pair and the moment it begins to sign.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
    jwk: Jwk,
    active_at: UnixTime,
}

/// The keys in use, as the database had them at the last upkeep.
pub struct KeyRing {
    database: Database,
    policy: KeyPolicy,
    keys: RwLock<Arc<Keys>>,
}

impl KeyRing {
    /// Loads the keys, and makes the first one if there is none.
    pub async fn open(
        database: Database,
        policy: KeyPolicy,
        now: UnixTime,
    ) -> Result<Self, KeyError> {
        let ring = Self { database, policy, keys: RwLock::default() };
        ring.refresh(now).await?;
        Ok(ring)
    }

    /// Applies the rule: publishes a successor when it is time, drops what has run out.
    pub async fn refresh(&self, now: UnixTime) -> Result<(), KeyError> {
        self.update(now, |newest| newest.plus(self.policy.lifetime) <= now.plus(self.policy.lead))
            .await
    }

    /// Publishes a successor now, whatever the age of the key in use; it takes over after the
    /// lead. If one waits already, that one stays the next.
    pub async fn rotate(&self, now: UnixTime) -> Result<(), KeyError> {
        self.update(now, |newest| newest <= now).await
    }

    /// What verifiers are told.
    pub fn published(&self, now: UnixTime) -> JwkSet {
        let keys = self.keys();
        let live = keys.live(now, self.policy.keep);
        JwkSet { keys: live.iter().map(|key| key.jwk.clone()).collect() }
    }

    /// Applies the rule again and again. A failure is logged, and the keys at hand stay in use.
    pub async fn keep_fresh(&self, clock: Arc<dyn Clock>) -> Infallible {
        let pause = UPKEEP.min(self.policy.lead / 3);
        loop {
            tokio::time::sleep(pause).await;
            if let Err(error) = self.refresh(clock.now()).await {
                tracing::error!(%error, "the signing keys could not be refreshed");
            }
        }
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a key if there is none or `due` says so of the newest, within one transaction: of two
    /// processes at the same database one adds it and the other finds it.
    async fn update(
        &self,
        now: UnixTime,
        due: impl Fn(UnixTime) -> bool + Send,
    ) -> Result<(), KeyError> {
        let mut transaction = self.database.begin_write().await?;
        // The row is held to the end, since reads alone would not wait for each other.
        sqlx::query("UPDATE signing_key_turn SET id = id").execute(&mut *transaction).await?;
        let mut keys = load(&mut transaction).await?;
        let active_at = match keys.0.last() {
            None => Some(now),
            Some(newest) => due(newest.active_at).then(|| now.plus(self.policy.lead)),
        };
        if let Some(active_at) = active_at {
            let key = insert(&mut transaction, now, active_at).await?;
            tracing::info!(kid = key.kid, active_at = %active_at, "a signing key is published");
            keys.0.push(key);
        }
        let dropped = keys.0.len() - keys.live(now, self.policy.keep).len();
        for key in keys.0.drain(..dropped) {
            sqlx::query("DELETE FROM signing_keys WHERE kid = $1")
                .bind(key.kid.as_str())
                .execute(&mut *transaction)
                .await?;
            tracing::info!(kid = key.kid, "a signing key has run out");
        }
        self.database.commit(transaction, "users.keys").await?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }
}

/// Keys in the order in which they become active.
#[derive(Default)]
pub(crate) struct Keys(Vec<SigningKey>);

impl Keys {
    /// The key that signs at `now`: the latest that is active. A clock that was set back before
    /// the first one still gets that one.
    pub(crate) fn signing(&self, now: UnixTime) -> Option<&SigningKey> {
        self.0.iter().rev().find(|key| key.active_at <= now).or(self.0.first())
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&SigningKey> {
        self.0.iter().find(|key| key.kid == kid)
    }

    /// The id of the last key to become active, and the moment.
    pub(crate) fn newest(&self) -> Option<(&str, UnixTime)> {
        self.0.last().map(|key| (key.kid.as_str(), key.active_at))
    }

    /// Without those whose last token has expired: they stopped when their successor became
    /// active.
    fn live(&self, now: UnixTime, keep: Duration) -> &[SigningKey] {
        let gone = self.0.windows(2).take_while(|pair| pair[1].active_at.plus(keep) <= now).count();
        &self.0[gone..]
    }
}

async fn load(transaction: &mut Transaction) -> Result<Keys, KeyError> {
    let rows =
        sqlx::query("SELECT kid, private_key, active_at FROM signing_keys ORDER BY active_at, kid")
            .fetch_all(&mut **transaction)
            .await?;
    let keys = rows.iter().map(|row| {
        let kid: String = row.try_get("kid")?;
        let active_at: i64 = row.try_get("active_at")?;
        let pair = KeyPair::from_pem(row.try_get("private_key")?)
            .map_err(|source| KeyError::Pem { kid: kid.clone(), source })?;
        signing_key(&pair, UnixTime::from_millis(active_at.cast_unsigned()))
            .map_err(|source| KeyError::Unusable { kid, source })
    });
    keys.collect::<Result<_, _>>().map(Keys)
}

async fn insert(
    transaction: &mut Transaction,
    now: UnixTime,
    active_at: UnixTime,
) -> Result<SigningKey, KeyError> {
    // rcgen's default is P-256, the curve of ES256.
    let pair = KeyPair::generate().map_err(KeyError::Generate)?;
    let key = signing_key(&pair, active_at)
        .map_err(|source| KeyError::Unusable { kid: "just generated".to_owned(), source })?;
    sqlx::query(
        "INSERT INTO signing_keys (kid, private_key, published_at, active_at) \
         VALUES ($1, $2, $3, $4)",
    )
    .bind(key.kid.as_str())
    .bind(pair.serialize_pem())
    .bind(now.millis().cast_signed())
    .bind(active_at.millis().cast_signed())
    .execute(&mut **transaction)
    .await?;
    Ok(key)
}

fn signing_key(
    pair: &KeyPair,
    active_at: UnixTime,
) -> Result<SigningKey, jsonwebtoken::errors::Error> {
    let encoding = EncodingKey::from_ec_der(pair.serialized_der());
    let mut jwk = Jwk::from_encoding_key(&encoding, ALGORITHM)?;
    // The id is the key's own thumbprint (RFC 7638): no two keys can share one.
    let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
    jwk.common.key_id = Some(kid.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    let decoding = DecodingKey::from_jwk(&jwk)?;
    Ok(SigningKey { kid, encoding, decoding, jwk, active_at })
}

#[cfg(test)]
mod tests;
