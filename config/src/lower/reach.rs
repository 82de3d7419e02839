//! Routes that can never be reached.
//!
//! Only what is certain is said: an earlier route takes the same requests. A route that is more
//! special wins wherever it stands (Gateway API precedence), so only equals can hide each other.

use std::collections::HashMap;

use crate::diagnostics::{Diagnostic, Report};
use crate::model::{ListenerId, Match, Route, ValueMatch, ValueTest};
use crate::values::PathPattern;

/// Pairs looked at for one route: files with more are not worth the time.
const PAIRS: usize = 4_096;

/// Warns of each route whose requests all go to earlier ones.
pub(super) fn check(routes: &[Route], report: &mut Report) {
    // Of each combination, the first route that takes it.
    let mut taken: HashMap<String, HashMap<Claim, usize>> = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        let claims = claims(route);
        if claims.len() > PAIRS {
            continue;
        }
        let same = taken.entry(rest(&route.matcher)).or_default();
        let first = claims.first().and_then(|claim| same.get(claim)).copied();
        if let Some(first) = first
            && claims.iter().all(|claim| same.contains_key(claim))
        {
            report.push(
                Diagnostic::warning(
                    route.location.clone(),
                    format!("the route `{}` is never reached", route.name),
                )
                .related(
                    routes[first].location.clone(),
                    "an earlier route takes the same requests",
                ),
            );
        }
        for claim in claims {
            same.entry(claim).or_insert(index);
        }
    }
}

/// A listener, a host and a method; nothing stands for any.
type Claim = (ListenerId, Option<String>, Option<String>);

fn claims(route: &Route) -> Vec<Claim> {
    let hosts = any_or(route.matcher.hosts.iter().map(ToString::to_string));
    let methods = any_or(route.matcher.methods.iter().map(|one| one.as_str().to_owned()));
    let count = route.listeners.len() * hosts.len() * methods.len();
    let mut claims = Vec::with_capacity(count.min(PAIRS + 1));
    for listener in &route.listeners {
        for host in &hosts {
            for method in &methods {
                if claims.len() <= PAIRS {
                    claims.push((*listener, host.clone(), method.clone()));
                }
            }
        }
    }
    claims
}

fn any_or(values: impl Iterator<Item = String>) -> Vec<Option<String>> {
    let values: Vec<_> = values.map(Some).collect();
    if values.is_empty() { vec![None] } else { values }
}

/// Everything else that must be equal, whatever its order.
fn rest(matcher: &Match) -> String {
    let path = match &matcher.path {
        PathPattern::Exact(path) => format!("exact {path}"),
        PathPattern::Prefix(path) => format!("prefix {path}"),
        PathPattern::Regex(regex) => format!("regex {}", regex.as_str()),
    };
    format!(
        "{path:?} {:?} {:?} {:?}",
        tests(&matcher.headers),
        tests(&matcher.query),
        tests(&matcher.cookies)
    )
}

fn tests<N: std::fmt::Debug>(matches: &[ValueMatch<N>]) -> Vec<String> {
    let describe = |one: &ValueMatch<N>| {
        let test = match &one.test {
            ValueTest::Present => "present".to_owned(),
            ValueTest::Absent => "absent".to_owned(),
            ValueTest::Exact(value) => format!("exact {value:?}"),
            ValueTest::Prefix(value) => format!("prefix {value:?}"),
            ValueTest::Regex(regex) => format!("regex {:?}", regex.as_str()),
        };
        format!("{:?} {test}", one.name)
    };
    let mut described: Vec<_> = matches.iter().map(describe).collect();
    described.sort();
    described
}
