//! What a customer types into the search field, made into a query that cannot misfire.
//!
//! FTS5 has a language of its own (AND, NEAR, columns, quotes). None of it is offered: the text is
//! cut into words, and a product matches if each word begins one of its words.

/// Words that are looked at; the rest of a long text is ignored.
const MAX_WORDS: usize = 8;

/// The FTS5 expression for `text`, or `None` if there is no word in it.
pub(crate) fn expression(text: &str) -> Option<String> {
    let words: Vec<String> = text
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        // In quotes a word is a word, whatever it says; letters and digits cannot end a quote.
        .map(|word| format!("\"{word}\"*"))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_left() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(expression(text).as_deref(), expected, "{text:?}");
        };
        check("", None);
        check(" \t%_*'\"-", None);
        check("lamp", Some("\"lamp\"*"));
        check("desk  lamp", Some("\"desk\"* \"lamp\"*"));
        check("name:lamp OR NOT x", Some("\"name\"* \"lamp\"* \"OR\"* \"NOT\"* \"x\"*"));
        check("a\" OR \"b", Some("\"a\"* \"OR\"* \"b\"*"));
        check("NEAR(a b, 2)", Some("\"NEAR\"* \"a\"* \"b\"* \"2\"*"));
        check("Käse", Some("\"Käse\"*"));
        check("a\0b", Some("\"a\"* \"b\"*"));
        check("1 2 3 4 5 6 7 8 9 10", Some(r#""1"* "2"* "3"* "4"* "5"* "6"* "7"* "8"*"#));
    }
}
