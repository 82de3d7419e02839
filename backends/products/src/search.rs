//! What a customer types into the search field, made into ranges of the index.
//!
//! There is no language to misuse: the text is cut into words, and a product matches if each of
//! them begins one of its words.

use crate::words::{Word, words};

/// Words that are looked at; the rest of a long text is ignored.
const MAX_WORDS: usize = 8;

/// The beginnings that a product's words must have, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search(Vec<Word>);

impl Search {
    /// `None` if there is no word in `text`.
    pub(crate) fn try_new(text: &str) -> Option<Self> {
        let mut found = words(text);
        found.truncate(MAX_WORDS);
        // The same word twice asks for nothing more.
        found.sort();
        found.dedup();
        (!found.is_empty()).then_some(Self(found))
    }

    pub(crate) fn prefixes(&self) -> &[Word] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_left() {
        let check = |text: &str, expected: &[&str]| {
            let mut expected: Vec<Word> = expected.iter().flat_map(|word| words(word)).collect();
            expected.sort();
            let found = Search::try_new(text);
            let found = found.as_ref().map_or(&[][..], Search::prefixes);
            assert_eq!(found, expected, "{text:?}");
        };
        check("", &[]);
        check(" \t%_*'\"-", &[]);
        check("lamp", &["lamp"]);
        check("desk  lamp", &["desk", "lamp"]);
        check("lamp Lamp LÁMP", &["lamp"]);
        check("name:lamp OR NOT x", &["name", "lamp", "or", "not", "x"]);
        check("a\" OR \"b", &["a", "or", "b"]);
        check("NEAR(a b, 2)", &["near", "a", "b", "2"]);
        check("1 2 3 4 5 6 7 8 9 10", &["1", "2", "3", "4", "5", "6", "7", "8"]);
    }
}
