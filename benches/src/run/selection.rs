//! Which rows are meant by the names that somebody gave.

use std::collections::BTreeSet;

use anyhow::bail;

/// Names of rows.
#[derive(Debug)]
pub(super) struct Selection(BTreeSet<&'static str>);

impl Selection {
    /// A word is a row's name, a group's, or what some of them begin with; no word at all means
    /// every row. `rows` are names, each with its group.
    pub(super) fn of(
        words: &[String],
        rows: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        if words.is_empty() {
            return Ok(Self(rows.iter().map(|(name, _)| *name).collect()));
        }
        let mut selected = BTreeSet::new();
        for word in words {
            let means = |is: &dyn Fn(&str) -> bool| -> Vec<&'static str> {
                rows.iter().filter(|(name, group)| is(name) || is(group)).map(|row| row.0).collect()
            };
            let mut meant = means(&|name| name == word);
            if meant.is_empty() && !word.is_empty() {
                meant = means(&|name| name.starts_with(word.as_str()));
            }
            if meant.is_empty() {
                let known: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
                bail!(
                    "no row or group is called or begins with `{word}`; rows: {}",
                    known.join(", ")
                );
            }
            selected.extend(meant);
        }
        Ok(Self(selected))
    }

    pub(super) fn takes(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [(&str, &str); 5] = [
        ("small", "small"),
        ("small-nolog", "small"),
        ("h2c", "http2"),
        ("rest", "memory"),
        ("reload", "reload"),
    ];

    fn check(words: &str, expected: &[&str]) {
        let words: Vec<String> = words.split_terminator(',').map(str::to_owned).collect();
        let selected = Selection::of(&words, &ROWS).unwrap().0;
        assert_eq!(selected, expected.iter().copied().collect(), "{words:?}");
    }

    #[test]
    fn rows_are_meant_by_name_by_group_and_by_their_beginning() {
        check("", &["small", "small-nolog", "h2c", "rest", "reload"]);
        check("small", &["small", "small-nolog"]);
        check("small-", &["small-nolog"]);
        check("h2,memory", &["h2c", "rest"]);
        check("http", &["h2c"]);
        check("re", &["rest", "reload"]);
        check("rest", &["rest"]);
    }

    #[test]
    fn what_nothing_begins_with_is_an_error_that_names_all() {
        for word in ["h3", "", "small-nolog-x"] {
            let error = Selection::of(&["small".to_owned(), word.to_owned()], &ROWS).unwrap_err();
            let expected = format!(
                "no row or group is called or begins with `{word}`; \
                 rows: small, small-nolog, h2c, rest, reload"
            );
            assert_eq!(error.to_string(), expected);
        }
    }
}
