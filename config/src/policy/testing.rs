//! One policy in one line, for the tests of each.

use super::Policies;
use crate::load::parse_str;

/// What a listener says that has this policy and no other.
pub(super) fn policies(key: &str, written: &str) -> Policies {
    let text = format!(
        "version: v1\nlisteners: [{{name: a, address: \"127.0.0.1:1\", {key}: {written}}}]\n\
         routes: [{{name: r, reply: {{}}}}]\n"
    );
    let loaded = parse_str("a.yaml", &text).unwrap_or_else(|failed| {
        panic!("{}", failed.report.render(&failed.sources, false));
    });
    loaded.config.listeners[0].policies.clone()
}
