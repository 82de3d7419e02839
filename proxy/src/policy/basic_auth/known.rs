//! Which credentials were right before: fingerprints under a key that is drawn at every start.
//!
//! A table of single words. Two credentials that share a place take it from each other: the one that
//! lost it is checked again. Nothing here leads back to a password.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sha2::{Digest, Sha256};

use super::credentials::Credentials;

/// Users that are remembered at once, at most.
const PLACES: usize = 1024;

pub(super) struct VerifiedPasswords {
    key: [u8; 32],
    places: Box<[AtomicU64]>,
}

impl Default for VerifiedPasswords {
    fn default() -> Self {
        let mut key = [0; 32];
        // Without a random key no password is remembered.
        let drawn = getrandom::fill(&mut key).is_ok();
        let places = if drawn { PLACES } else { 0 };
        Self { key, places: (0..places).map(|_| AtomicU64::default()).collect() }
    }
}

impl std::fmt::Debug for VerifiedPasswords {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("VerifiedPasswords")
    }
}

impl VerifiedPasswords {
    pub(super) fn contains(&self, credentials: &Credentials) -> bool {
        let Some((place, fingerprint)) = self.place(credentials) else { return false };
        place.load(Relaxed) == fingerprint
    }

    pub(super) fn remember(&self, credentials: &Credentials) {
        if let Some((place, fingerprint)) = self.place(credentials) {
            place.store(fingerprint, Relaxed);
        }
    }

    /// Where the credentials belong, and their fingerprint, which is never that of an empty place.
    fn place(&self, credentials: &Credentials) -> Option<(&AtomicU64, u64)> {
        // The key goes first and only a part of the digest is kept, so that no longer text can be
        // made from a shorter one.
        let digest = Sha256::new().chain_update(self.key).chain_update(credentials.as_bytes());
        let digest = digest.finalize();
        let word = |at: usize| {
            let bytes = digest.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes)
        };
        let index = usize::try_from(word(0)? % PLACES as u64).ok()?;
        Some((self.places.get(index)?, word(8)?.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn credentials(text: &str) -> Credentials {
        Credentials::parse(format!("Basic {}", STANDARD.encode(text)).as_bytes()).unwrap()
    }

    #[test]
    fn what_was_remembered_is_known_and_nothing_else() {
        let known = VerifiedPasswords::default();
        let ada = credentials("ada:secret");
        assert!(!known.contains(&ada));
        known.remember(&ada);
        assert!(known.contains(&ada) && known.contains(&credentials("ada:secret")));
        for other in ["ada:Secret", "ada:secret ", "ad:asecret", "bob:secret"] {
            assert!(!known.contains(&credentials(other)), "{other}");
        }
        assert!(!VerifiedPasswords::default().contains(&ada), "the key is drawn anew");
    }
}
