//! A password against one entry of the file, in time that does not depend on how much is right.

use argon2::password_hash::PasswordVerifier;
use argon2::{Argon2, PasswordHash as Phc};
use portcullis_config::passwords::{PasswordHash, Passwords};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A hash of the file, as a thread of its own can hold it.
#[derive(Debug, Clone)]
pub(super) struct HashedUser(PasswordHash);

impl HashedUser {
    pub(super) fn of(hash: &PasswordHash) -> Self {
        Self(hash.clone())
    }
}

/// What an unknown user is checked against: the entry that takes longest, so that the time does not
/// reveal whether a user exists.
pub(super) fn decoy(passwords: &Passwords) -> HashedUser {
    let slowest = passwords.iter().map(|(_, hash)| hash).max_by_key(|hash| cost(hash));
    HashedUser(slowest.cloned().unwrap_or(PasswordHash::Sha256([0; 32])))
}

/// Roughly how long a check takes, in microseconds.
fn cost(hash: &PasswordHash) -> u64 {
    match hash {
        PasswordHash::Sha256(_) => 1,
        PasswordHash::Bcrypt { cost, .. } => 50_000_u64 << cost >> 10,
        PasswordHash::Argon2id { memory, iterations, .. } => {
            u64::from(*memory) * u64::from(*iterations)
        }
    }
}

/// It takes microseconds: no reason to ask another thread.
pub(super) fn is_quick(entry: &HashedUser) -> bool {
    matches!(entry.0, PasswordHash::Sha256(_))
}

pub(super) fn verify(entry: &HashedUser, password: &[u8]) -> bool {
    match &entry.0 {
        PasswordHash::Sha256(wanted) => Sha256::digest(password).ct_eq(wanted).into(),
        PasswordHash::Bcrypt { text, .. } => {
            bcrypt::verify(password, text.expose()).unwrap_or(false)
        }
        PasswordHash::Argon2id { text, .. } => Phc::new(text.expose())
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
    }
}
