//! Routes that answer in plain text what a redirect was to send to https.
//!
//! A redirect for the plain listener takes what no more special route takes there, and a route
//! without `listeners` is there too.

use std::collections::HashSet;

use super::cover::{goes_first, hosts_within, tests_within};
use super::paths::Prover;
use crate::diagnostics::{Diagnostic, Report};
use crate::model::{Action, Listener, ListenerId, ListenerKind, Match, Route, Scheme};

/// Proofs for all routes together.
const PROOFS: usize = 200;
/// Pairs of a redirect and a route that are looked at.
const PAIRS: usize = 100_000;

/// Warns of each route of `unbound`, those without `listeners`, that goes before such a redirect,
/// unless it is `unreached`.
pub(super) fn check(
    routes: &[Route],
    unbound: &HashSet<&str>,
    unreached: &HashSet<usize>,
    listeners: &[Listener],
    report: &mut Report,
) {
    let plain = |id: &ListenerId| match listeners.get(id.0).map(|one| &one.kind) {
        Some(ListenerKind::Http(http)) => http.tls.is_none(),
        _ => false,
    };
    let is_unbound = |route: &Route| unbound.contains(route.name.as_str());
    let all = routes.iter().enumerate();
    let redirects: Vec<_> =
        all.filter(|(_, route)| !is_unbound(route) && sends_all_to_https(route)).collect();
    if redirects.is_empty() {
        return;
    }
    let mut prover = Prover::new(PROOFS);
    let mut pairs = PAIRS;
    let served = routes.iter().enumerate().filter(|(place, route)| {
        // Behind a proxy that ends TLS, headers are how a route knows that it was there.
        is_unbound(route)
            && !unreached.contains(place)
            && !to_https(route)
            && route.matcher.headers.is_empty()
    });
    for (place, route) in served {
        let mut passed: Vec<(ListenerId, &Route)> = Vec::new();
        for at in route.listeners.iter().filter(|at| plain(at)) {
            let mut skipped = None;
            let on_it = redirects.iter().filter(|(_, one)| one.listeners.contains(at));
            for (other, redirect) in on_it.copied() {
                pairs = pairs.saturating_sub(1);
                if pairs == 0 {
                    return;
                }
                if !takes_all(&route.matcher, &redirect.matcher, &mut prover) {
                    continue;
                }
                if same_hosts(&route.matcher, &redirect.matcher)
                    && goes_first((other, redirect), (place, route))
                {
                    // It never serves there.
                    skipped = None;
                    break;
                }
                skipped = skipped.or(Some(redirect));
            }
            passed.extend(skipped.map(|redirect| (*at, redirect)));
        }
        warn(route, &passed, listeners, report);
    }
}

fn warn(
    route: &Route,
    passed: &[(ListenerId, &Route)],
    listeners: &[Listener],
    report: &mut Report,
) {
    let names = |ids: &[ListenerId], quote: &str| {
        let names = ids.iter().filter_map(|id| listeners.get(id.0));
        names.map(|one| format!("{quote}{}{quote}", one.name)).collect::<Vec<_>>().join(", ")
    };
    let plain: Vec<_> = passed.iter().map(|(id, _)| *id).collect();
    let kept: Vec<_> = route.listeners.iter().copied().filter(|at| !plain.contains(at)).collect();
    // Where there is no other listener, the route is meant for this one.
    if plain.is_empty() || kept.is_empty() {
        return;
    }
    let (shown, all) = (names(&plain, "`"), names(&route.listeners, ""));
    let mut warning = Diagnostic::warning(
        route.location.clone(),
        format!(
            "the route `{}` names no `listeners`, so it serves plain HTTP on {shown} too, and \
             goes before the redirect to https there",
            route.name
        ),
    )
    .help(format!(
        "`listeners: [{}]` leaves {shown} to the redirect; `listeners: [{all}]` says that it is \
         meant",
        names(&kept, "")
    ));
    let mut told = HashSet::new();
    for (_, redirect) in passed {
        if told.insert(&redirect.name) {
            warning = warning.related(redirect.location.clone(), "this is the redirect");
        }
    }
    report.push(warning);
}

fn to_https(route: &Route) -> bool {
    matches!(&route.action, Action::Redirect(redirect) if redirect.scheme == Some(Scheme::Https))
}

/// A redirect that asks for nothing but host and path.
fn sends_all_to_https(route: &Route) -> bool {
    let Match { hosts: _, path: _, methods, headers, query, cookies } = &route.matcher;
    to_https(route)
        && methods.is_empty()
        && headers.is_empty()
        && query.is_empty()
        && cookies.is_empty()
}

fn takes_all(inner: &Match, outer: &Match, prover: &mut Prover) -> bool {
    hosts_within(inner, outer)
        && tests_within(inner, outer)
        && prover.within(&inner.path, &outer.path)
}

/// Hosts go before paths: only between the same ones does the rest decide.
fn same_hosts(one: &Match, other: &Match) -> bool {
    one.hosts.len() == other.hosts.len() && one.hosts.iter().all(|host| other.hosts.contains(host))
}
