//! Routes that can never be reached.
//!
//! Only what is certain is said: other routes take the same requests first. A route that is more
//! special wins wherever it stands (Gateway API precedence), so only equals can hide each other,
//! and expressions, which go before prefixes.

use std::collections::{HashMap, HashSet};

use super::cover::{goes_first, tests_within};
use super::paths::Prover;
use crate::diagnostics::{Diagnostic, Report};
use crate::model::{ListenerId, Match, Route, ValueMatch, ValueTest};
use crate::values::PathPattern;

/// Pairs looked at for one route: files with more are not worth the time.
const PAIRS: usize = 4_096;
/// Pairs of an expression and a route that are looked at in one file, and proofs that are tried.
const PAIRS_WITH_REGEX: usize = 20_000;
const PROOFS: usize = 500;

/// Warns of each route whose requests all go to other ones first, and gives their places.
pub(super) fn check(routes: &[Route], report: &mut Report) -> HashSet<usize> {
    let mut unreached = HashSet::new();
    // Of each combination, the first route that takes it.
    let mut taken: HashMap<String, HashMap<Claim, usize>> = HashMap::new();
    let mut expressions = Expressions::new(routes);
    for (index, route) in routes.iter().enumerate() {
        let claims = claims(route);
        if claims.len() > PAIRS {
            continue;
        }
        let same = taken.entry(rest(&route.matcher)).or_default();
        let takers = claims.iter().map(|claim| match same.get(claim) {
            Some(first) => Some(*first),
            None => expressions.taker(claim, index),
        });
        if let Some(takers) = takers.collect::<Option<Vec<_>>>()
            && let Some(first) = takers.first().and_then(|first| routes.get(*first))
        {
            unreached.insert(index);
            report.push(hidden(route, first, expressions.leave_the_asterisk(route, &takers)));
        }
        for claim in claims {
            same.entry(claim).or_insert(index);
        }
    }
    unreached
}

fn hidden(route: &Route, first: &Route, asterisk: bool) -> Diagnostic {
    let message = match asterisk {
        true => format!("the route `{}` is reached by `OPTIONS *` alone", route.name),
        false => format!("the route `{}` is never reached", route.name),
    };
    let why = match (&first.matcher.path, &route.matcher.path) {
        (PathPattern::Regex(_), PathPattern::Prefix(_)) => {
            "this one takes its requests: `regex` goes before `prefix`"
        }
        (PathPattern::Regex(one), PathPattern::Regex(other)) if one.as_str() != other.as_str() => {
            "this one takes its requests first"
        }
        _ => "an earlier route takes the same requests",
    };
    Diagnostic::warning(route.location.clone(), message).related(first.location.clone(), why)
}

/// The routes that match by an expression, by listener and host.
struct Expressions<'a> {
    routes: &'a [Route],
    placed: HashMap<(ListenerId, Option<String>), Vec<usize>>,
    prover: Prover,
    pairs: usize,
    /// Of the route that is looked at, which expressions take all of its paths and tests.
    known: (usize, HashMap<usize, bool>),
}

impl<'a> Expressions<'a> {
    fn new(routes: &'a [Route]) -> Self {
        let mut placed: HashMap<_, Vec<_>> = HashMap::new();
        for (index, route) in routes.iter().enumerate() {
            if matches!(route.matcher.path, PathPattern::Regex(_)) {
                for listener in &route.listeners {
                    for host in any_or(route.matcher.hosts.iter().map(ToString::to_string)) {
                        placed.entry((*listener, host)).or_default().push(index);
                    }
                }
            }
        }
        let (prover, known) = (Prover::new(PROOFS), (0, HashMap::new()));
        Self { routes, placed, prover, pairs: PAIRS_WITH_REGEX, known }
    }

    /// An expression that takes all that the route at `index` takes of a claim, before it.
    fn taker(&mut self, (listener, host, method): &Claim, index: usize) -> Option<usize> {
        let route = self.routes.get(index)?;
        if matches!(route.matcher.path, PathPattern::Exact(_)) {
            return None;
        }
        if self.known.0 != index {
            self.known = (index, HashMap::new());
        }
        for other in self.placed.get(&(*listener, host.clone()))? {
            self.pairs = self.pairs.checked_sub(1)?;
            let expression = self.routes.get(*other)?;
            let methods = &expression.matcher.methods;
            let for_method = methods.is_empty()
                || methods.iter().any(|one| Some(one.as_str()) == method.as_deref());
            if *other == index
                || !for_method
                || !goes_first((*other, expression), (index, route))
                || !tests_within(&route.matcher, &expression.matcher)
            {
                continue;
            }
            let prover = &mut self.prover;
            let takes = self.known.1.entry(*other);
            if *takes
                .or_insert_with(|| prover.within(&route.matcher.path, &expression.matcher.path))
            {
                return Some(*other);
            }
        }
        None
    }

    /// Whether the route matches `*`, the target of `OPTIONS *`, and one of `takers` does not.
    fn leave_the_asterisk(&self, route: &Route, takers: &[usize]) -> bool {
        let by_method = &route.matcher.methods;
        let matches = |path: &PathPattern| match path {
            PathPattern::Prefix(prefix) => prefix.is_empty(),
            PathPattern::Regex(regex) => regex.is_match("*"),
            PathPattern::Exact(_) => false,
        };
        let mut takers = takers.iter().filter_map(|taker| self.routes.get(*taker));
        matches(&route.matcher.path)
            && (by_method.is_empty() || by_method.iter().any(|one| one.as_str() == "OPTIONS"))
            && takers.any(|taker| !matches(&taker.matcher.path))
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
