//! Which kinds of events a group asks for, in the words of NATS.

use super::{BrokerError, SUBJECT_PREFIX};
use crate::event::is_word;

/// Patterns of kinds. An event is wanted if one of them matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(Vec<String>);

impl Filter {
    pub(super) fn try_new(kinds: &[&str]) -> Result<Self, BrokerError> {
        if kinds.is_empty() {
            return Err(BrokerError::Name(String::new()));
        }
        match kinds.iter().find(|kind| !is_pattern(kind)) {
            Some(kind) => Err(BrokerError::Name((*kind).to_owned())),
            None => Ok(Self(kinds.iter().map(|kind| (*kind).to_owned()).collect())),
        }
    }

    pub(super) fn matches(&self, kind: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, kind))
    }

    /// The subject that takes in all that is wanted. Servers before 2.10 know one for each
    /// consumer: more than one pattern is sorted out on arrival.
    pub(super) fn subject(&self) -> String {
        match self.0.as_slice() {
            [sole] => format!("{SUBJECT_PREFIX}.{sole}"),
            _ => format!("{SUBJECT_PREFIX}.>"),
        }
    }
}

fn is_pattern(text: &str) -> bool {
    let words: Vec<&str> = text.strip_suffix(".>").unwrap_or(text).split('.').collect();
    text == ">" || words.iter().all(|word| *word == "*" || is_word(word))
}

fn matches(pattern: &str, kind: &str) -> bool {
    let mut words = kind.split('.');
    for expected in pattern.split('.') {
        match (expected, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (expected, Some(word)) if expected == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_word_by_word() {
        let check = |patterns: &[&str], kind: &str, expected: bool| {
            let filter = Filter::try_new(patterns).unwrap();
            assert_eq!(filter.matches(kind), expected, "{patterns:?} {kind}");
        };
        check(&["payment.*"], "payment.captured", true);
        check(&["payment.*"], "payment", false);
        check(&["payment.*"], "payment.captured.late", false);
        check(&["payment.*"], "payments.captured", false);
        check(&["payment.captured"], "payment.captured", true);
        check(&["payment.captured"], "payment.voided", false);
        check(&["*.placed", "user.*"], "order.placed", true);
        check(&["*.placed", "user.*"], "user.registered", true);
        check(&["*.placed", "user.*"], "order.confirmed", false);
        check(&["order.>"], "order.a.b", true);
        check(&["order.>"], "order", false);
        check(&[">"], "order.a.b", true);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["", ".", "a.", ".a", "a..b", "a.>.b", "a.b*", "a b", "A"] {
            assert!(Filter::try_new(&[pattern]).is_err(), "{pattern:?}");
        }
        assert!(Filter::try_new(&[]).is_err());
    }

    #[test]
    fn one_pattern_is_left_to_the_server() {
        let subject = |patterns: &[&str]| Filter::try_new(patterns).unwrap().subject();
        assert_eq!(subject(&["payment.*"]), "shop.payment.*");
        assert_eq!(subject(&["payment.*", "order.*"]), "shop.>");
    }
}
