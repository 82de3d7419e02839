//! How long an upstream may take, and timeouts that end before what was written can happen.
//!
//! Timeouts of clients are the listener's; nothing here knows them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::inherit::{Inheritance, built_in, within};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Location, Origin, Sourced};
use crate::model::{Action, Route, RouteTimeouts, StreamRoute, Upstream};
use crate::raw;
use crate::units::format_duration;

pub(super) fn lower(
    route: &raw::Route,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> RouteTimeouts {
    let own = route.timeouts.as_ref();
    let response = inheritance.pick(
        within(own, |one| &one.response),
        Origin::Route,
        |defaults| within(defaults.timeouts.as_ref(), |one| &one.response),
        built_in::RESPONSE,
    );
    let mut per_try = inheritance.pick(
        within(own, |one| &one.per_try),
        Origin::Route,
        |defaults| within(defaults.timeouts.as_ref(), |one| &one.per_try),
        built_in::PER_TRY,
    );
    // A try that has timed out is not sent again, so a `perTry` from further away would make the
    // nearer `response` mean nothing.
    if distance(&response.origin) < distance(&per_try.origin) {
        let origin = Origin::Response(Box::new(response.origin.clone()));
        per_try = Sourced { value: response.value, origin };
    }
    let readable = own.is_none_or(|one| one.value.spoiled.is_empty());
    if readable
        && per_try.value > response.value
        && let Some(at) = per_try.origin.place()
    {
        let mut vain =
            Diagnostic::warning(at.clone(), "`perTry` is longer than `response`, which ends it");
        if let Some(at) = response.origin.place() {
            vain = vain.related(at.clone(), "`response` is set here");
        }
        report.push(vain);
    }
    let idle = inheritance.pick(
        within(own, |one| &one.idle),
        Origin::Route,
        |defaults| within(defaults.timeouts.as_ref(), |one| &one.idle),
        built_in::ROUTE_IDLE,
    );
    RouteTimeouts { response, per_try, idle }
}

/// How far a level is from the route.
fn distance(origin: &Origin) -> u8 {
    match origin {
        Origin::Route(_) => 0,
        Origin::Upstream(_) | Origin::Listener(_) => 1,
        Origin::Defaults(_) => 2,
        Origin::BuiltIn => 3,
        Origin::Response(response) => distance(response),
    }
}

/// A route with its `perTry`.
type Try<'a> = (&'a Route, &'a Sourced<Duration>);

/// Warns of each `connectTimeout` that is written and that no route waits for: a connect is part
/// of a try.
pub(super) fn check_connects(
    upstreams: &[Upstream],
    routes: &[Route],
    stream_routes: &[StreamRoute],
    report: &mut Report,
) {
    let mut longest: Vec<Option<Try<'_>>> = vec![None; upstreams.len()];
    for route in routes {
        let Action::Forward(forward) = &route.action else { continue };
        let own = (route, &forward.timeouts.per_try);
        for backend in &forward.backends {
            if let Some(known) = longest.get_mut(backend.upstream.0) {
                *known = longer(*known, Some(own));
            }
        }
    }
    // Where bytes are passed on, nothing else ends a connect.
    let passed_on: HashSet<_> =
        stream_routes.iter().flat_map(|one| &one.backends).map(|one| one.upstream.0).collect();
    // One place in `defaults` holds for many upstreams.
    let mut written: HashMap<&Location, (Duration, Option<Try<'_>>, bool)> = HashMap::new();
    for (index, upstream) in upstreams.iter().enumerate() {
        let connect = &upstream.connect_timeout;
        let Some(place) = connect.origin.place() else { continue };
        let longest = longest.get(index).copied().flatten();
        let known = written.entry(place).or_insert((connect.value, None, false));
        known.1 = longer(known.1, longest);
        known.2 |= passed_on.contains(&index);
    }
    for (place, (connect, longest, passed_on)) in written {
        let Some((route, per_try)) = longest.filter(|(_, one)| one.value < connect && !passed_on)
        else {
            continue;
        };
        let message = format!(
            "`connectTimeout` is longer than one try of any route, which ends it after {}",
            format_duration(per_try.value)
        );
        let (at, why) = match per_try.origin.place() {
            Some(place) => (place, "the longest `perTry` is set here"),
            None => (&route.location, "this route has the built-in `perTry`"),
        };
        report.push(Diagnostic::warning(place.clone(), message).related(at.clone(), why).help(
            format!(
                "`timeouts: {{response: {}}}` on the route gives a try that long",
                format_duration(connect)
            ),
        ));
    }
}

/// The first one of equals.
fn longer<'a>(one: Option<Try<'a>>, other: Option<Try<'a>>) -> Option<Try<'a>> {
    match (one, other) {
        (Some(one), Some(other)) if other.1.value > one.1.value => Some(other),
        (one, other) => one.or(other),
    }
}
