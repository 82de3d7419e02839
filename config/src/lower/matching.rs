//! Which requests a route takes.

use super::refuse;
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::model::{Match, ValueMatch, ValueTest};
use crate::raw;
use crate::values::PathPattern;

pub(super) fn lower(raw: Option<&Located<raw::Match>>, report: &mut Report) -> Option<Match> {
    if let Some(sni) = super::inherit::within(raw, |one| &one.sni) {
        let message = "`sni` is for routes of `tls-passthrough` listeners: HTTP has `hosts`";
        refuse(Some(&sni.location), message, report)?;
    }
    let Some(raw) = raw.map(|one| &one.value) else {
        return Some(Match {
            hosts: Vec::new(),
            path: anything(),
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
        });
    };
    let hosts = listed("host", &raw.hosts, report);
    let methods = listed("method", &raw.methods, report);
    let path = match &raw.path {
        Some(path) => lower_path(path, report),
        None => Some(anything()),
    };
    let headers = values(&raw.headers, raw::HeaderMatch::common, report);
    let query = values(&raw.query, raw::QueryMatch::common, report);
    let cookies = values(&raw.cookies, raw::CookieMatch::common, report);
    Some(Match {
        hosts: hosts?,
        path: path?,
        methods: methods?,
        headers: headers?,
        query: query?,
        cookies: cookies?,
    })
}

/// Held without its trailing slash, and the root as nothing.
pub(super) fn prefix(path: &str) -> String {
    path.strip_suffix('/').unwrap_or(path).to_owned()
}

fn anything() -> PathPattern {
    PathPattern::Prefix(String::new())
}

/// An empty list would take nothing, though its absence takes everything.
pub(super) fn listed<T: Clone + PartialEq>(
    what: &str,
    raw: &raw::Items<T>,
    report: &mut Report,
) -> Option<Vec<T>> {
    let Some(listed) = raw else { return Some(Vec::new()) };
    if listed.value.is_empty() {
        report.push(
            Diagnostic::error(listed.location.clone(), format!("no {what} is listed"))
                .help(format!("remove the key to take any {what}")),
        );
        return None;
    }
    let mut values: Vec<T> = Vec::new();
    for one in &listed.value {
        if values.contains(&one.value) {
            let message = format!("this {what} stands twice");
            report.push(Diagnostic::warning(one.location.clone(), message));
        } else {
            values.push(one.value.clone());
        }
    }
    Some(values)
}

fn lower_path(raw: &Located<raw::PathMatch>, report: &mut Report) -> Option<PathPattern> {
    let path = &raw.value;
    for literal in [&path.exact, &path.prefix].into_iter().flatten() {
        warn_of_star(literal, report);
    }
    match (&path.exact, &path.prefix, &path.regex) {
        (Some(exact), None, None) => Some(PathPattern::Exact(exact.value.clone())),
        (None, Some(one), None) => Some(PathPattern::Prefix(prefix(&one.value))),
        (None, None, Some(regex)) => Some(PathPattern::Regex(regex.value.clone())),
        _ if !path.spoiled.is_empty() => None,
        _ => {
            let message = "`path` is exactly one of `exact`, `prefix` and `regex`";
            refuse(Some(&raw.location), message, report);
            None
        }
    }
}

/// A star is legal in a path, and elsewhere a pattern.
fn warn_of_star(path: &Located<String>, report: &mut Report) {
    let Some(star) = path.value.find('*') else { return };
    let before = path.value.get(..star).unwrap_or_default();
    let cure = match (before.strip_suffix('/'), path.value.get(star..)) {
        (Some(""), Some("*" | "**")) => "`prefix: /` takes every path".to_owned(),
        (Some(prefix), Some("*" | "**")) => {
            format!("`prefix: {prefix}` takes all that is below it")
        }
        _ => {
            let pieces: Vec<_> = path.value.split('*').map(regex::escape).collect();
            format!("`regex: {}` matches any text there", pieces.join("[^/]*"))
        }
    };
    let message = "a `*` here is an ordinary character, not a pattern";
    report.push(Diagnostic::warning(path.location.clone(), message).help(cure));
}

fn values<R, N: Clone + PartialEq + AsText>(
    raw: &raw::Items<R>,
    common: impl Fn(&R) -> raw::ValueMatch<'_, N>,
    report: &mut Report,
) -> Option<Vec<ValueMatch<N>>> {
    let Some(listed) = raw else { return Some(Vec::new()) };
    let mut matches: Vec<ValueMatch<N>> = Vec::new();
    let mut right = true;
    for one in &listed.value {
        let Some(lowered) = value(&common(&one.value), &one.location, report) else {
            right = false;
            continue;
        };
        let earlier = matches.iter().filter(|earlier| earlier.name == lowered.name);
        if earlier.map(|earlier| &earlier.test).any(|test| excludes(test, &lowered.test)) {
            report.push(Diagnostic::warning(
                one.location.clone(),
                format!("no request passes both tests of `{}`", lowered.name.as_text()),
            ));
        }
        matches.push(lowered);
    }
    right.then_some(matches)
}

fn value<N: Clone>(
    raw: &raw::ValueMatch<'_, N>,
    location: &Location,
    report: &mut Report,
) -> Option<ValueMatch<N>> {
    let given = [
        raw.exact.as_ref().map(|one| ValueTest::Exact(one.value.clone())),
        raw.prefix.as_ref().map(|one| ValueTest::Prefix(one.value.clone())),
        raw.regex.as_ref().map(|one| ValueTest::Regex(one.value.clone())),
        raw.present.as_ref().map(|one| match one.value {
            true => ValueTest::Present,
            false => ValueTest::Absent,
        }),
    ];
    let mut given = given.into_iter().flatten();
    let test = given.next().unwrap_or(ValueTest::Present);
    if given.next().is_some() {
        let message = "at most one of `exact`, `prefix`, `regex` and `present`";
        refuse(Some(location), message, report)?;
    }
    Some(ValueMatch { name: raw.name.as_ref()?.value.clone(), test })
}

fn excludes(one: &ValueTest, other: &ValueTest) -> bool {
    match (one, other) {
        (ValueTest::Absent, ValueTest::Absent) => false,
        (ValueTest::Absent, _) | (_, ValueTest::Absent) => true,
        (ValueTest::Exact(one), ValueTest::Exact(other)) => one != other,
        (ValueTest::Exact(exact), ValueTest::Prefix(prefix))
        | (ValueTest::Prefix(prefix), ValueTest::Exact(exact)) => !exact.starts_with(prefix),
        _ => false,
    }
}

/// A name as people wrote it.
trait AsText {
    fn as_text(&self) -> &str;
}

impl AsText for String {
    fn as_text(&self) -> &str {
        self
    }
}

impl AsText for crate::values::HeaderName {
    fn as_text(&self) -> &str {
        self.as_str()
    }
}
