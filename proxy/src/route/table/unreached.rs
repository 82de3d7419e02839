//! What the configuration's check calls unreached is never taken by the table that serves.
//!
//! The check knows the rules of precedence by itself; here its word is held against the table.

use std::cell::Cell;
use std::collections::HashSet;

use portcullis_config::parse_str;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Table;
use super::tests::with_normalised;
use crate::http1::hypothetical::HypotheticalHead;
use crate::route::compile;
use crate::route::testing::request;

const HOSTS: &[&str] = &["", "[a.t]", "[b.t]", "[a.t, b.t]", "[\"*.t\"]", "[\"*.a.t\"]"];
const PATHS: &[&str] = &[
    "",
    "prefix: /",
    "prefix: /x",
    "prefix: /x/y",
    "prefix: /xx",
    "exact: /x",
    "exact: /x/y",
    "regex: \".*\"",
    "regex: \"/.*\"",
    "regex: \"/.+\"",
    "regex: \"/x.*\"",
    "regex: \"/x(/.*)?\"",
    "regex: \"/x/[^/]+\"",
    "regex: \"/(x|xx)(/.*)?\"",
    "regex: \"(?:/[a-z]+)*/?\"",
    "regex: \"(?:/[^/]+)*/?\"",
    "regex: \"/x/y\"",
    "regex: \"(?i)/X/.*|/x\"",
];
const METHODS: &[&str] = &["", "[GET]", "[GET, POST]", "[OPTIONS]"];
const TESTS: &[&str] = &[
    "",
    "{name: a}",
    "{name: a, exact: \"1\"}",
    "{name: a, prefix: \"1\"}",
    "{name: a, present: false}",
    "{name: b}",
];

fn route() -> impl Strategy<Value = String> {
    // Mostly alike, so that routes hide each other.
    let seldom = |from| prop_oneof![5 => Just(""), 1 => prop::sample::select(from)];
    let hosts = prop_oneof![1 => Just(""), 1 => prop::sample::select(HOSTS)];
    let path = prop::sample::select(PATHS);
    (hosts, path, seldom(METHODS), seldom(TESTS), seldom(TESTS)).prop_map(
        |(hosts, path, methods, one, other)| {
            let keys = [
                ("hosts", hosts.to_owned()),
                ("path", if path.is_empty() { String::new() } else { format!("{{{path}}}") }),
                ("methods", methods.to_owned()),
                ("headers", if one.is_empty() { String::new() } else { format!("[{one}]") }),
                ("query", if other.is_empty() { String::new() } else { format!("[{other}]") }),
            ];
            let keys = keys.iter().filter(|(_, value)| !value.is_empty());
            let keys: Vec<_> = keys.map(|(key, value)| format!("{key}: {value}")).collect();
            format!("match: {{{}}}, reply: {{}}", keys.join(", "))
        },
    )
}

/// Every request that these patterns can tell apart, and some that look alike.
fn requests() -> Vec<String> {
    let mut all = Vec::new();
    for host in ["a.t", "b.t", "c.a.t", "x.t", "u"] {
        for path in ["/", "/x", "/x/", "/x/y", "/x/y/z", "/xx", "/x1", "/X/q", "/~%7B", "*"] {
            for method in ["GET", "OPTIONS"] {
                for query in ["", "?a=1&b"] {
                    for header in ["", " a=1", " a=12 b=1", " a=2"] {
                        if path != "*" || method == "OPTIONS" && query.is_empty() {
                            all.push(format!("{method} {host}{path}{query}{header}"));
                        }
                    }
                }
            }
        }
    }
    all
}

/// `*` is a path that no URL has.
fn head(words: &str) -> HypotheticalHead {
    let Some((host, headers)) = words.split_once('*') else { return request(words) };
    let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.into(), value.into()));
    let headers: Vec<_> = headers.split_whitespace().filter_map(pair).collect();
    let host = host.trim_start_matches("OPTIONS ");
    HypotheticalHead::try_new("OPTIONS", host, "*", None, &headers).unwrap()
}

#[test]
fn what_is_called_unreached_takes_no_request() {
    let heads: Vec<_> = requests().into_iter().map(|words| (head(&words), words)).collect();
    let found = Cell::new(0);
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    let routes = prop::collection::vec(route(), 2..16);
    let check = |routes: Vec<String>| {
        let lines = routes.iter().enumerate();
        let lines = lines.map(|(index, keys)| format!("  - {{name: r{index}, {keys}}}\n"));
        let text = format!(
            "version: v1\nlisteners: [{{name: a, address: \"127.0.0.1:80\"}}]\nroutes:\n{}",
            lines.collect::<String>()
        );
        let loaded = parse_str("a.yaml", &text).map_err(|_| TestCaseError::fail(text.clone()))?;
        let named = |end: &str| -> HashSet<String> {
            let found = loaded.warnings.iter().filter_map(|one| one.message.strip_suffix(end));
            found.filter_map(|one| one.strip_prefix("the route `")).map(str::to_owned).collect()
        };
        let unreached = named("` is never reached");
        let asterisk = named("` is reached by `OPTIONS *` alone");
        found.set(found.get() + unreached.len() + asterisk.len());
        let table = Table::build(&compile(&loaded.config, &[]).unwrap());
        for (head, words) in &heads {
            let found = with_normalised(head, |seen| table.find(seen).map(|one| one.name.clone()));
            let Some(name) = found else { continue };
            prop_assert!(!unreached.contains(&name), "{words} takes {name} of\n{text}");
            let by_asterisk = words.contains('*') || !asterisk.contains(&name);
            prop_assert!(by_asterisk, "{words} takes {name} of\n{text}");
        }
        Ok(())
    };
    if let Err(error) = TestRunner::new(config).run(&routes, check) {
        panic!("{error}");
    }
    assert!(found.get() > 50, "{} routes were unreached: nothing was tried", found.get());
}
