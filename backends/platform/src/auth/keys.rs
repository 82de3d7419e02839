//! The published keys at hand, and when to ask for them again.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{JwkSet, KeyAlgorithm, PublicKeyUse};
use tokio::sync::Mutex;
use tracing::Instrument;

use super::AuthError;
use super::fetch::KeySource;
use crate::clock::UnixTime;

/// Tokens with made-up key ids must not become a flood of fetches.
const BETWEEN_FETCHES: Duration = Duration::from_secs(5);
/// The users service publishes three at most.
const KEY_LIMIT: usize = 32;

pub(super) struct Keys {
    source: Option<KeySource>,
    known: RwLock<Arc<KeySet>>,
    /// When the last fetch began. Held while one is under way: one at a time.
    last: Arc<Mutex<Option<UnixTime>>>,
}

#[derive(Default)]
struct KeySet {
    keys: Vec<(String, Arc<DecodingKey>)>,
    /// When to ask again; none for keys that are fixed.
    stale_at: Option<UnixTime>,
}

impl Keys {
    pub(super) fn fetched_from(source: KeySource) -> Self {
        // Stale from the beginning.
        let none = KeySet { keys: Vec::new(), stale_at: Some(UnixTime::from_millis(0)) };
        Self { source: Some(source), known: RwLock::new(Arc::new(none)), last: Arc::default() }
    }

    pub(super) fn fixed(jwks: &JwkSet) -> Self {
        let set = Arc::new(KeySet::of(jwks, None));
        Self { source: None, known: RwLock::new(set), last: Arc::default() }
    }

    pub(super) async fn find(
        self: &Arc<Self>,
        kid: &str,
        now: UnixTime,
    ) -> Result<Arc<DecodingKey>, AuthError> {
        let known = self.known();
        let key = known.find(kid);
        let stale = known.stale_at.is_some_and(|stale_at| stale_at <= now);
        if let Some(key) = key.filter(|_| !stale) {
            return Ok(key);
        }
        self.refresh(known.find(kid).is_none(), now).await;
        let known = self.known();
        match known.find(kid) {
            Some(key) => Ok(key),
            None if known.keys.is_empty() => Err(AuthError::Unavailable),
            None => Err(AuthError::Invalid),
        }
    }

    /// Fetches, unless that was just done. A caller that `needs` it waits for a fetch under way;
    /// others go on with what is known.
    async fn refresh(self: &Arc<Self>, needs: bool, now: UnixTime) {
        if self.source.is_none() {
            return;
        }
        let mut last = match Arc::clone(&self.last).try_lock_owned() {
            Ok(last) => last,
            // Whoever holds it fetches for everybody: its result is there when it lets go.
            Err(_) if needs => return drop(self.last.lock().await),
            Err(_) => return,
        };
        if last.is_some_and(|last| now.since(last) < BETWEEN_FETCHES && last <= now) {
            return;
        }
        *last = Some(now);
        let keys = Arc::clone(self);
        // A task: a caller that hangs up must not take the fetch with it, since nobody may try
        // another one for a while.
        let fetching = async move {
            keys.fetch(now).await;
            drop(last);
        };
        drop(tokio::spawn(fetching.in_current_span()).await);
    }

    async fn fetch(&self, now: UnixTime) {
        let Some(source) = &self.source else { return };
        match source.fetch().await {
            Ok((jwks, fresh_for)) => {
                let set = KeySet::of(&jwks, Some(now.plus(fresh_for)));
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
            }
            Err(error) => tracing::warn!(%error, "the keys could not be fetched"),
        }
    }

    fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeySet {
    /// Only keys that sign with our algorithm and say who they are.
    fn of(jwks: &JwkSet, stale_at: Option<UnixTime>) -> Self {
        let keys = jwks.keys.iter().filter_map(|jwk| {
            let for_signatures =
                matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature))
                    && matches!(jwk.common.key_algorithm, None | Some(KeyAlgorithm::ES256));
            let kid = jwk.common.key_id.clone().filter(|_| for_signatures)?;
            Some((kid, Arc::new(DecodingKey::from_jwk(jwk).ok()?)))
        });
        Self { keys: keys.take(KEY_LIMIT).collect(), stale_at }
    }

    fn find(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        self.keys.iter().find(|(known, _)| known == kid).map(|(_, key)| Arc::clone(key))
    }
}
