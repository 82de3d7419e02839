//! Words as the index knows them: folded, weighed, and spelled so that every engine sorts them alike.
//!
//! Folding drops case and whatever stands on a letter: `Käse`, `KÄSE` and `kase` are one word. A
//! letter without a decomposition in Unicode (`ø`, `ß`) stays itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longer words are told apart by their beginnings.
const WORD_LIMIT: usize = 40;
/// A word in the name counts most, then one in the category, then one in the description.
const NAME: i64 = 10;
const CATEGORY: i64 = 4;
const DESCRIPTION: i64 = 1;

/// A word, or the beginning of one, as the index spells it: each byte as three digits. A database
/// sorts letters by its own locale and digits by their value, so that this is the one spelling in
/// which the range of a prefix holds what begins with it, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Word(String);

impl Word {
    fn new(folded: &str) -> Self {
        let mut digits = String::with_capacity(folded.len() * 3);
        for byte in folded.bytes() {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:03}");
        }
        Self(digits)
    }

    /// The first spelling of the range of words that begin with this one.
    pub(crate) fn first(&self) -> &str {
        &self.0
    }

    /// The first spelling after that range: no byte begins with a 3.
    pub(crate) fn end(&self) -> String {
        format!("{}3", self.0)
    }
}

/// The words of a text, in its order.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let folded: String = text
        .nfd()
        .filter(|character| !is_combining_mark(*character))
        .flat_map(char::to_lowercase)
        .collect();
    folded
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| Word::new(&word.chars().take(WORD_LIMIT).collect::<String>()))
        .collect()
}

/// What a product is found by, and how much each word counts. A field counts once, however often
/// it says a word.
pub(crate) fn weigh(name: &str, category: &str, description: &str) -> BTreeMap<Word, i64> {
    let mut weights = BTreeMap::new();
    for (text, weight) in [(name, NAME), (category, CATEGORY), (description, DESCRIPTION)] {
        for word in words(text).into_iter().collect::<BTreeSet<_>>() {
            *weights.entry(word).or_default() += weight;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_folded() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<Word> = expected.iter().map(|word| Word::new(word)).collect();
            assert_eq!(words(text), expected, "{text:?}");
        };
        check("", &[]);
        check(" \t%_*'\"-", &[]);
        check("Desk  LAMP", &["desk", "lamp"]);
        check("Chef's Knife 20 cm", &["chef", "s", "knife", "20", "cm"]);
        check("Käse kase KÄSE", &["kase", "kase", "kase"]);
        check("wa\u{308}lnut", &["walnut"]);
        check("Crème brûlée à l’Ångström", &["creme", "brulee", "a", "l", "angstrom"]);
        check("İstanbul Ñandú Žižek", &["istanbul", "nandu", "zizek"]);
        check("a\0b", &["a", "b"]);
        check(&"x".repeat(50), &[&"x".repeat(40)]);
    }

    #[test]
    fn a_word_weighs_by_the_fields_that_have_it() {
        let weights = weigh("Bread Knife", "kitchen", "Bread, bread and a kitchen");
        let check = |word: &str, expected| {
            assert_eq!(weights.get(&Word::new(word)).copied(), expected, "{word}");
        };
        check("bread", Some(11));
        check("knife", Some(10));
        check("kitchen", Some(5));
        check("and", Some(1));
        check("fork", None);
    }

    proptest! {
        #[test]
        fn a_range_holds_what_begins_with_its_word_and_nothing_else(
            prefix in "[a-c0-9äø水]{1,3}",
            word in "[a-c0-9äø水]{1,5}",
        ) {
            let (range, spelled) = (Word::new(&prefix), Word::new(&word));
            let end = range.end();
            let within = range.first() <= spelled.first() && spelled.first() < end.as_str();
            prop_assert_eq!(within, word.starts_with(&prefix));
        }
    }
}
