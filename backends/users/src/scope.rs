//! Scopes: words that say what a token allows (RFC 6749, section 3.3).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What a registered customer's token allows.
pub(crate) const CUSTOMER: &str = "customer";
/// Makes a request one of OpenID Connect: an ID token is issued.
pub(crate) const OPENID: &str = "openid";
pub(crate) const PROFILE: &str = "profile";
pub(crate) const EMAIL: &str = "email";
/// Asks for refresh tokens.
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";
/// Allows to publish a new signing key.
pub(crate) const ROTATE_KEYS: &str = "keys:rotate";

const MAX_WORDS: usize = 32;
const MAX_LENGTH: usize = 512;

/// A set of scopes. Prints in alphabetical order, so that equal sets are equal text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scopes are up to 32 words of ASCII without quotes and backslashes, a space between them")]
pub struct ScopeError;

impl Scopes {
    pub(crate) fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    pub(crate) fn is_subset(&self, of: &Self) -> bool {
        self.0.is_subset(&of.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let is_word =
            |word: &&str| word.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        // Spaces at the ends or in pairs say nothing, and clients send them.
        let words = || text.split(' ').filter(|word| !word.is_empty());
        if text.len() > MAX_LENGTH || words().count() > MAX_WORDS || !words().all(|w| is_word(&w)) {
            return Err(ScopeError);
        }
        Ok(Self(words().map(str::to_owned).collect()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(formatter, "{space}{word}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_sets_of_words() {
        let check = |text: &str, expected: Option<&str>| {
            let printed = text.parse::<Scopes>().ok().map(|scopes| scopes.to_string());
            assert_eq!(printed.as_deref(), expected, "{text:?}");
        };
        check("openid customer", Some("customer openid"));
        check(" b  a b ", Some("a b"));
        check("", Some(""));
        check("keys:rotate", Some("keys:rotate"));
        check("a\"b", None);
        check("a\\b", None);
        check("a\tb", None);
        check("a\0", None);
        check("ä", None);
        check(&"a ".repeat(33), None);
        check(&"a".repeat(513), None);
    }

    #[test]
    fn a_word_is_found_whole_and_sets_compare_by_their_words() {
        let scopes: Scopes = "customer openid".parse().unwrap();
        assert!(scopes.contains("customer") && !scopes.contains("custom"));
        assert!("openid".parse::<Scopes>().unwrap().is_subset(&scopes));
        assert!(!"openid admin".parse::<Scopes>().unwrap().is_subset(&scopes));
        assert!(Scopes::default().is_subset(&scopes) && Scopes::default().is_empty());
    }
}
