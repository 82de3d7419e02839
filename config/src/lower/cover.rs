//! Which of two routes goes first, and whether one takes all that the other takes.
//!
//! Only what is certain counts as taken: a `false` may mean that it was not proved. The order is
//! that of the table of routes, on one listener.

use std::cmp::Reverse;

use crate::model::{Match, Route, ValueMatch, ValueTest};
use crate::values::{HostPattern, PathPattern};

/// Whether every host that `inner` takes is one that `outer` takes.
pub(super) fn hosts_within(inner: &Match, outer: &Match) -> bool {
    let covered = |host: &HostPattern| outer.hosts.iter().any(|outer| host_within(host, outer));
    outer.hosts.is_empty() || (!inner.hosts.is_empty() && inner.hosts.iter().all(covered))
}

fn host_within(inner: &HostPattern, outer: &HostPattern) -> bool {
    let below = |name: &str, suffix: &str| {
        name.strip_suffix(suffix).is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
    };
    match (inner, outer) {
        (HostPattern::Exact(inner), HostPattern::Exact(outer)) => inner == outer,
        (HostPattern::Exact(inner), HostPattern::Suffix(outer)) => below(inner, outer),
        (HostPattern::Suffix(inner), HostPattern::Suffix(outer)) => {
            inner == outer || below(inner, outer)
        }
        (HostPattern::Suffix(_), HostPattern::Exact(_)) => false,
    }
}

/// Whether every request that passes the tests of `inner` passes those of `outer`.
pub(super) fn tests_within(inner: &Match, outer: &Match) -> bool {
    values_within(&inner.headers, &outer.headers)
        && values_within(&inner.query, &outer.query)
        && values_within(&inner.cookies, &outer.cookies)
}

fn values_within<N: PartialEq>(inner: &[ValueMatch<N>], outer: &[ValueMatch<N>]) -> bool {
    outer.iter().all(|outer| {
        let mut same = inner.iter().filter(|inner| inner.name == outer.name);
        same.any(|inner| implies(&inner.test, &outer.test))
    })
}

fn implies(inner: &ValueTest, outer: &ValueTest) -> bool {
    match (inner, outer) {
        (ValueTest::Absent, outer) => matches!(outer, ValueTest::Absent),
        (_, ValueTest::Absent) => false,
        (_, ValueTest::Present) => true,
        (ValueTest::Exact(inner), ValueTest::Exact(outer)) => inner == outer,
        (ValueTest::Exact(inner) | ValueTest::Prefix(inner), ValueTest::Prefix(outer)) => {
            inner.starts_with(outer)
        }
        (ValueTest::Exact(inner), ValueTest::Regex(outer)) => outer.is_match(inner),
        (ValueTest::Regex(inner), ValueTest::Regex(outer)) => inner.as_str() == outer.as_str(),
        _ => false,
    }
}

/// Whether `one` goes before `other` where both match and their hosts are equally special. Each
/// is a route with its place in the file.
pub(super) fn goes_first(one: (usize, &Route), other: (usize, &Route)) -> bool {
    let order = |(place, route): (usize, &Route)| {
        let matcher = &route.matcher;
        let path = match &matcher.path {
            PathPattern::Exact(_) => (0, Reverse(0)),
            PathPattern::Regex(_) => (1, Reverse(0)),
            // Of two prefixes that both match, the longer one has more bytes.
            PathPattern::Prefix(prefix) => (2, Reverse(prefix.len())),
        };
        let tests = (
            matcher.methods.is_empty(),
            Reverse(matcher.headers.len()),
            Reverse(matcher.query.len()),
            Reverse(matcher.cookies.len()),
        );
        (path, tests, place)
    };
    order(one) < order(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let host = |text: &str| match text.strip_prefix("*.") {
            Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
            None => HostPattern::Exact(text.to_owned()),
        };
        for (inner, outer, expected) in [
            ("a.test", "a.test", true),
            ("a.test", "b.test", false),
            ("a.test", "*.test", true),
            ("a.b.test", "*.test", true),
            ("test", "*.test", false),
            ("xtest", "*.test", false),
            ("*.test", "*.test", true),
            ("*.a.test", "*.test", true),
            ("*.test", "*.a.test", false),
            ("*.atest", "*.test", false),
            ("*.test", "a.test", false),
        ] {
            assert_eq!(host_within(&host(inner), &host(outer)), expected, "{inner} {outer}");
        }
    }

    #[test]
    fn values() {
        let test = |text: &str| match text.split_once(' ') {
            None if text == "absent" => ValueTest::Absent,
            None => ValueTest::Present,
            Some(("exact", value)) => ValueTest::Exact(value.to_owned()),
            Some(("prefix", value)) => ValueTest::Prefix(value.to_owned()),
            Some((_, value)) => ValueTest::Regex(regex::Regex::new(value).unwrap()),
        };
        for (inner, outer, expected) in [
            ("exact a", "present", true),
            ("regex ^a$", "present", true),
            ("present", "exact a", false),
            ("absent", "absent", true),
            ("absent", "present", false),
            ("present", "absent", false),
            ("exact ab", "prefix a", true),
            ("exact ba", "prefix a", false),
            ("prefix ab", "prefix a", true),
            ("prefix a", "prefix ab", false),
            ("prefix a", "exact a", false),
            ("exact ab", "regex ^a.$", true),
            ("exact abc", "regex ^a.$", false),
            ("regex ^a$", "regex ^a$", true),
            ("regex ^a$", "regex ^.$", false),
        ] {
            assert_eq!(implies(&test(inner), &test(outer)), expected, "{inner}; {outer}");
        }
    }
}
