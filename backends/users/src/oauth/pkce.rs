//! Proof Key for Code Exchange (RFC 7636): a code is of use only to whoever asked for it.
//!
//! The method `plain` is not offered: it protects nothing from whoever reads the request.

use subtle::ConstantTimeEq;

use crate::secret;

/// The SHA-256 of a secret that the client keeps until it redeems its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge(String);

impl Challenge {
    pub(crate) fn try_new(text: &str) -> Option<Self> {
        secret::is_secret(text).then(|| Self(text.to_owned()))
    }

    /// Whether `verifier` is what the challenge was made from.
    pub(crate) fn is_met_by(&self, verifier: &str) -> bool {
        is_verifier(verifier) && bool::from(secret::digest(verifier).as_bytes().ct_eq(self.bytes()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Section 4.1: 43 to 128 unreserved characters.
fn is_verifier(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_verifier_meets_its_challenge() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = Challenge::try_new("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        assert!(challenge.is_met_by(verifier));
        for wrong in ["", &verifier[1..], &verifier.to_lowercase(), challenge.as_str()] {
            assert!(!challenge.is_met_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn verifiers_and_challenges_have_a_form() {
        let check = |verifier: &str, good| {
            let challenge = Challenge::try_new(&secret::digest(verifier)).unwrap();
            assert_eq!(challenge.is_met_by(verifier), good, "{verifier}");
        };
        check(&"a".repeat(42), false);
        check(&"a".repeat(43), true);
        check(&"~".repeat(128), true);
        check(&"a".repeat(129), false);
        check(&"+".repeat(43), false);
        for bad in ["", "short", &"a".repeat(44), &"=".repeat(43), &"ä".repeat(43)] {
            assert!(Challenge::try_new(bad).is_none(), "{bad}");
        }
    }
}
