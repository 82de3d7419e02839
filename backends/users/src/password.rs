//! Passwords: hashed with argon2id, on few threads, in bounded memory.
//!
//! A hash takes the better part of a core and megabytes of memory for some 20 ms. So only a few
//! run at once, a bounded number wait, and everyone after is told to come back.

use std::num::NonZero;
use std::sync::Arc;

use argon2::password_hash::phc::{Output, Salt};
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use prometheus::IntCounter;
use shop_platform::problem::FieldError;
use tokio::sync::Semaphore;

/// Hashes in progress, each with its memory.
const MAX_WORKING: usize = 4;
/// Requests that wait for their turn: about a second's worth.
const MAX_WAITING: usize = 64;

/// A password as typed. It prints as nothing.
pub(crate) struct Password(String);

impl Password {
    /// 12 characters at least: length is what makes guessing hopeless. 512 bytes at most, since
    /// no one types more and hashing reads them all.
    pub(crate) fn try_new(text: String) -> Result<Self, FieldError> {
        if text.chars().count() >= 12 && text.len() <= 512 {
            Ok(Self(text))
        } else {
            let message = "must have at least 12 characters and at most 512 bytes";
            Err(FieldError { field: "password", message })
        }
    }

    /// For a login: whatever was typed is compared, and what could not have been registered fails
    /// like any other wrong password.
    pub(crate) fn attempt(mut text: String) -> Self {
        // One byte over the longest password there is stays wrong.
        if text.len() > 513 {
            text.truncate(text.floor_char_boundary(513));
        }
        Self(text)
    }
}

/// What one hash costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PasswordCost {
    /// OWASP's recommendation for argon2id: 19 MiB, two passes, one lane.
    #[default]
    Owasp,
    /// Next to nothing, for tests alone.
    Cheapest,
}

impl PasswordCost {
    fn argon2(self) -> Argon2<'static> {
        let params = match self {
            Self::Owasp => Params::DEFAULT,
            Self::Cheapest => Params::new(8, 1, 1, None).unwrap_or(Params::DEFAULT),
        };
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("too many passwords wait to be hashed")]
    Busy,
    #[error("argon2 failed: {0}")]
    Hash(password_hash::Error),
    #[error("a hashing thread was interrupted")]
    Interrupted,
}

/// Hashes and compares passwords without blocking the runtime.
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    hashes: IntCounter,
    waiting: Semaphore,
    working: Arc<Semaphore>,
    nobody: String,
}

impl Passwords {
    /// `hashes` counts the work that is really done, whatever its result.
    pub(crate) fn new(cost: PasswordCost, hashes: IntCounter) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self::with_limits(cost, hashes, cores.min(MAX_WORKING), MAX_WAITING)
    }

    fn with_limits(cost: PasswordCost, hashes: IntCounter, working: usize, waiting: usize) -> Self {
        let argon2 = cost.argon2();
        let nobody = unmatchable(&argon2);
        let working = Arc::new(Semaphore::new(working));
        Self { argon2, hashes, waiting: Semaphore::new(waiting), working, nobody }
    }

    /// A new hash, in PHC form with its salt and cost.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        let argon2 = self.argon2.clone();
        self.work(move || match argon2.hash_password(password.0.as_bytes()) {
            Ok(hash) => Ok(hash.to_string()),
            Err(error) => Err(PasswordError::Hash(error)),
        })
        .await
    }

    /// Whether `password` is the one that was hashed. Without a hash, as for an address nobody
    /// has, it takes as long and says no.
    pub(crate) async fn verify(
        &self,
        password: Password,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let argon2 = self.argon2.clone();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        self.work(move || match argon2.verify_password(password.0.as_bytes(), hash.as_str()) {
            Ok(()) => Ok(true),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(PasswordError::Hash(error)),
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let waiting = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        let working = Arc::clone(&self.working).acquire_owned().await;
        let working = working.map_err(|_| PasswordError::Interrupted)?;
        drop(waiting);
        let hashes = self.hashes.clone();
        tokio::task::spawn_blocking(move || {
            // It moves in here: a client that leaves does not stop its hash, so its permit stays.
            let _working = working;
            hashes.inc();
            job()
        })
        .await
        .map_err(|_| PasswordError::Interrupted)?
    }
}

/// A hash of this cost that no password has: its output is random, not computed.
fn unmatchable(argon2: &Argon2<'_>) -> String {
    let output: Vec<u8> =
        [Salt::generate(), Salt::generate()].iter().flat_map(|salt| salt.to_vec()).collect();
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon2.params().try_into().unwrap_or_default(),
        salt: Some(Salt::generate()),
        hash: Output::new(&output).ok(),
    };
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("hashes", "Hashes").unwrap()
    }

    fn password(text: &str) -> Password {
        Password::try_new(text.to_owned()).map_err(|error| error.message).unwrap()
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded_in_bytes() {
        let check = |text: String, good| {
            assert_eq!(Password::try_new(text.clone()).is_ok(), good, "{text:?}");
        };
        check("a".repeat(11), false);
        check("a".repeat(12), true);
        check("ä".repeat(11), false);
        check("ä".repeat(12), true);
        check("a".repeat(512), true);
        check("a".repeat(513), false);
        assert_eq!(Password::attempt("ä".repeat(400)).0.len(), 512);
        assert_eq!(Password::attempt("a".repeat(10_000)).0.len(), 513);
    }

    #[tokio::test]
    async fn only_the_password_itself_matches_its_hash() {
        let passwords = Passwords::new(PasswordCost::Cheapest, counter());
        let hash = passwords.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(password("correct horse")).await.unwrap());
        for (attempt, hash, expected) in [
            ("correct horse", Some(&hash), true),
            ("correct horsf", Some(&hash), false),
            ("", Some(&hash), false),
            ("correct horse", None, false),
        ] {
            let attempt = Password::attempt(attempt.to_owned());
            assert_eq!(passwords.verify(attempt, hash.cloned()).await.unwrap(), expected);
        }
    }

    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_does() {
        let real = Passwords::new(PasswordCost::Owasp, counter());
        assert!(real.nobody.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", real.nobody);
        let parsed = PasswordHash::new(&real.nobody).unwrap();
        assert_eq!(parsed.salt.unwrap().len(), 16);
        assert_eq!(parsed.hash.unwrap().len(), 32);
    }

    #[tokio::test]
    async fn those_who_would_wait_too_long_are_sent_away() {
        let passwords = Arc::new(Passwords::with_limits(PasswordCost::Cheapest, counter(), 1, 2));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let block = {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.work(move || Ok(released.recv().is_ok())).await })
        };
        while passwords.working.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // The client of the first one leaves, and its hash goes on.
        block.abort();
        assert!(block.await.unwrap_err().is_cancelled());
        assert_eq!(passwords.working.available_permits(), 0);
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.hash(password("correct horse")).await })
            })
            .collect();
        while passwords.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = passwords.hash(password("correct horse")).await;
        assert!(matches!(refused, Err(PasswordError::Busy)));
        release.send(()).unwrap();
        for task in waiting {
            assert!(task.await.unwrap().is_ok());
        }
        assert_eq!(passwords.working.available_permits(), 1);
    }
}
