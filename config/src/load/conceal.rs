//! Finds secrets that stand in a file although they should not, so that no report quotes them.

use std::ops::Range;

use crate::secrets::mentions_reference;
use crate::tree::{Content, Node};

/// The places of literal values under keys that name secrets.
pub(super) fn in_tree(node: &Node) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    search(node, false, &mut found);
    found
}

fn search(node: &Node, secret: bool, found: &mut Vec<Range<usize>>) {
    match &node.content {
        Content::Scalar { text, .. } => {
            if secret && !mentions_reference(text) {
                found.push(node.location.start..node.location.end);
            }
        }
        Content::List(items) => items.iter().for_each(|item| search(item, secret, found)),
        Content::Map(entries) => {
            for entry in entries {
                search(&entry.value, secret || names_secret(&entry.key.value), found);
            }
        }
    }
}

/// The same for a text that is no YAML, by lines.
pub(super) fn in_text(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let colon = line.match_indices(':').find(|(at, _)| names_secret(&line[..*at]));
        if let Some((at, _)) = colon
            && !mentions_reference(&line[at..])
        {
            found.push(start + at + 1..start + line.len());
        }
        start += line.len();
    }
    found
}

fn names_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // Users of `basicAuth`, which others write into the configuration with their hashes.
    key.trim() == "users" || ["token", "password", "secret"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_broken_text_is_found() {
        let text = "admin:\n  token: hunter2\n  other: x\nb: {token: abc\n";
        let shown: Vec<_> = in_text(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(shown, [" hunter2\n", " abc\n"]);
        assert!(in_text("token: ${env:TOKEN}\n").is_empty());
    }
}
