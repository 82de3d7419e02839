//! The name of a product as it stands in a URL, parsed once: no other text reaches a query.

use std::fmt;

use serde::Serialize;

const LIMIT: usize = 100;

/// One to a hundred of `a-z`, `0-9` and `-`. Whatever else is asked for does not exist.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct ProductId(String);

impl ProductId {
    pub(crate) fn try_new(text: &str) -> Option<Self> {
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let well_formed = (1..=LIMIT).contains(&text.len()) && text.bytes().all(known);
        well_formed.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slugs_are_ids() {
        let check = |text: &str, expected: bool| {
            assert_eq!(ProductId::try_new(text).is_some(), expected, "{text:?}");
        };
        check("walnut-desk-lamp", true);
        check("usb-c-dock-11-in-1", true);
        check(&"a".repeat(LIMIT), true);
        check(&"a".repeat(LIMIT + 1), false);
        for text in ["", "Lamp", "a b", "a/b", "a\0", "ä", "%", "'", "a_b", "a.b"] {
            check(text, false);
        }
    }
}
