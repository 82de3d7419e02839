//! One route's conditions, and what a request is held against them with.
//!
//! The table finds candidates by host and path, then asks [`Matcher::conditions`]; `explain` and
//! the tests ask [`Matcher::verdict`] for all of it. It knows no other route: precedence is the
//! table's matter.

use std::cmp::Reverse;
use std::fmt;

use portcullis_config::model::{Match, ValueMatch, ValueTest};
use portcullis_config::values::{HostPattern, PathPattern};
use regex::Regex;
use serde::Serialize;

use super::RouteFault;
use super::values::{Test, cookie_holds, header_holds, query_holds};
use crate::message::Fields;
use crate::target::{TargetFault, host, normal_path, normal_prefix, path};

/// A request as routing sees it, host and path in their normal forms.
#[derive(Debug, Clone, Copy)]
pub struct Normalised<'a> {
    pub host: &'a [u8],
    pub path: &'a [u8],
    pub method: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub fields: Fields<'a>,
}

/// The first condition of a route that a request does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "condition", content = "name")]
pub enum Mismatch<'t> {
    Host,
    Path,
    Method,
    Header(&'t str),
    Query(&'t str),
    Cookie(&'t str),
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => out.write_str("another host"),
            Self::Path => out.write_str("another path"),
            Self::Method => out.write_str("another method"),
            Self::Header(name) => write!(out, "header `{name}` does not match"),
            Self::Query(name) => write!(out, "query parameter `{name}` does not match"),
            Self::Cookie(name) => write!(out, "cookie `{name}` does not match"),
        }
    }
}

/// A host pattern in the form that requests' hosts are in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostTest {
    Exact(Box<[u8]>),
    /// One or more labels before this suffix.
    Suffix(Box<[u8]>),
}

/// A path pattern in the form that requests' paths are in.
#[derive(Debug, Clone)]
pub enum PathTest {
    Exact(Box<[u8]>),
    /// By whole segments; the root is empty.
    Prefix(Box<[u8]>),
    /// Anchored at both ends.
    Regex(Regex),
}

/// Tests of one kind of value, by name.
type ValueTests = Box<[(Box<str>, Test)]>;

/// A route's conditions, compiled.
#[derive(Debug)]
pub struct Matcher {
    /// Empty matches any host.
    pub hosts: Box<[HostTest]>,
    pub path: PathTest,
    methods: Box<[Box<[u8]>]>,
    headers: ValueTests,
    query: ValueTests,
    cookies: ValueTests,
}

impl Matcher {
    /// # Errors
    /// A pattern that no normalised request could meet.
    pub fn compile(config: &Match, allow_encoded_slash: bool) -> Result<Self, RouteFault> {
        Ok(Self {
            hosts: config.hosts.iter().map(host_test).collect::<Result<_, _>>()?,
            path: path_test(&config.path, allow_encoded_slash)?,
            methods: config.methods.iter().map(|it| it.as_str().as_bytes().into()).collect(),
            headers: value_tests(&config.headers, |name| name.as_str())?,
            query: value_tests(&config.query, String::as_str)?,
            cookies: value_tests(&config.cookies, String::as_str)?,
        })
    }

    /// Everything but host and path.
    ///
    /// # Errors
    /// The first condition that does not hold, in the order method, headers, query, cookies.
    pub fn conditions(&self, request: &Normalised<'_>) -> Result<(), Mismatch<'_>> {
        if !self.methods.is_empty() && !self.methods.iter().any(|it| **it == *request.method) {
            return Err(Mismatch::Method);
        }
        for (name, test) in &self.headers {
            if !header_holds(&request.fields, name, test) {
                return Err(Mismatch::Header(name));
            }
        }
        for (name, test) in &self.query {
            if !query_holds(request.query, name, test) {
                return Err(Mismatch::Query(name));
            }
        }
        for (name, test) in &self.cookies {
            if !cookie_holds(&request.fields, name, test) {
                return Err(Mismatch::Cookie(name));
            }
        }
        Ok(())
    }

    /// The whole of it, for those who do not come through the table.
    ///
    /// # Errors
    /// The first condition that does not hold.
    pub fn verdict(&self, request: &Normalised<'_>) -> Result<(), Mismatch<'_>> {
        if !self.hosts.is_empty() && !self.hosts.iter().any(|it| it.matches(request.host)) {
            return Err(Mismatch::Host);
        }
        if !self.path.matches(request.path) {
            return Err(Mismatch::Path);
        }
        self.conditions(request)
    }

    /// Orders routes of the same host and path pattern: smaller goes first. Gateway API: a
    /// method, then more headers, then more query parameters; then (ours) more cookies.
    pub(super) fn precedence(&self) -> impl Ord + use<> {
        (
            self.methods.is_empty(),
            Reverse(self.headers.len()),
            Reverse(self.query.len()),
            Reverse(self.cookies.len()),
        )
    }

    /// The prefix that matched, for the actions that replace it.
    pub fn prefix(&self) -> Option<&[u8]> {
        match &self.path {
            PathTest::Prefix(prefix) => Some(prefix),
            PathTest::Exact(_) | PathTest::Regex(_) => None,
        }
    }
}

impl HostTest {
    pub fn matches(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => **exact == *host,
            Self::Suffix(suffix) => host::parents(host).any(|parent| parent == &**suffix),
        }
    }
}

impl PathTest {
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Prefix(prefix) => path::strip_prefix(path, prefix).is_some(),
            Self::Regex(regex) => regex_matches(regex, path),
        }
    }
}

/// A normalised path is ASCII, so the conversion never stands in the way.
pub(super) fn regex_matches(regex: &Regex, path: &[u8]) -> bool {
    std::str::from_utf8(path).is_ok_and(|path| regex.is_match(path))
}

fn host_test(pattern: &HostPattern) -> Result<HostTest, TargetFault> {
    let normal = |text: &str| -> Result<Box<[u8]>, TargetFault> {
        let bracketed = if text.contains("::") || text.matches(':').count() > 1 {
            format!("[{}]", text.trim_matches(['[', ']']))
        } else {
            text.to_owned()
        };
        match host::normalise(bracketed.as_bytes(), &mut Vec::new()) {
            Ok(host::Authority { host, port: None }) if !host.is_empty() => Ok(host.into()),
            _ => Err(TargetFault::Host(text.to_owned())),
        }
    };
    Ok(match pattern {
        HostPattern::Exact(host) => HostTest::Exact(normal(host)?),
        HostPattern::Suffix(suffix) => HostTest::Suffix(normal(suffix)?),
    })
}

fn path_test(pattern: &PathPattern, allow_encoded_slash: bool) -> Result<PathTest, RouteFault> {
    Ok(match pattern {
        PathPattern::Exact(exact) => PathTest::Exact(normal_path(exact, allow_encoded_slash)?),
        PathPattern::Prefix(prefix) => {
            PathTest::Prefix(normal_prefix(prefix, allow_encoded_slash)?)
        }
        PathPattern::Regex(regex) => PathTest::Regex(anchored(regex)?),
    })
}

/// The pattern over the whole text, whether or not it was written with anchors.
fn anchored(regex: &Regex) -> Result<Regex, RouteFault> {
    Regex::new(&format!("^(?:{})$", regex.as_str()))
        .map_err(|_| RouteFault::Regex(regex.as_str().to_owned()))
}

fn value_tests<N>(
    tests: &[ValueMatch<N>],
    name: impl Fn(&N) -> &str,
) -> Result<ValueTests, RouteFault> {
    let compile = |test: &ValueTest| -> Result<Test, RouteFault> {
        Ok(match test {
            ValueTest::Present => Test::Present,
            ValueTest::Absent => Test::Absent,
            ValueTest::Exact(text) => Test::Exact(text.as_bytes().into()),
            ValueTest::Prefix(text) => Test::Prefix(text.as_bytes().into()),
            ValueTest::Regex(regex) => Test::Regex(anchored(regex)?),
        })
    };
    tests.iter().map(|it| Ok((name(&it.name).into(), compile(&it.test)?))).collect()
}
