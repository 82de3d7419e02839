//! Random secrets, and the form in which a database may keep them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// 256 bits in base64url.
pub(crate) const LENGTH: usize = 43;

/// 256 bits of the system's own randomness: out of reach for guessing, so that a fast hash is
/// enough to keep it.
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 in base64url. What is kept of a secret, and what a proof key's challenge is of its
/// verifier.
pub(crate) fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}

/// The left half of the digest: how an ID token names the access token beside it (OpenID Connect
/// Core, section 3.1.3.6).
pub(crate) fn half_digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(text.as_bytes())[..16])
}

/// Whether `text` has the form of [`random`]'s.
pub(crate) fn is_secret(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(is_base64url)
}

pub(crate) fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_new_each_time_and_have_one_form() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_ne!(one, two);
        assert!(is_secret(&one) && is_secret(&two));
        assert!(!is_secret(&one[1..]) && !is_secret(&one.replacen(&one[..1], "+", 1)));
    }

    /// RFC 7636, appendix B; OpenID Connect's own example of `at_hash` is of RS256, which hashes
    /// alike.
    #[test]
    fn digests_follow_the_published_examples() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(digest(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_digest(token), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
