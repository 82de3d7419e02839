//! Routes: where they are bound, and what they have beside matching and action.

use super::inherit::Inheritance;
use super::names::Names;
use super::{action, headers, matching, policies, stream};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Origin, Sourced};
use crate::model::{ListenerId, Route, StreamKind, StreamRoute};
use crate::policy::Policies;
use crate::raw::{self, ListenerKind};

/// What routes refer to.
pub(super) struct Targets<'a> {
    pub(super) listeners: &'a Names<'a>,
    /// Of the listeners, by their place.
    pub(super) kinds: &'a [ListenerKind],
    /// Of the listeners, by their place; those that could be read.
    pub(super) policies: &'a [Option<Policies>],
    pub(super) upstreams: &'a Names<'a>,
    pub(super) inheritance: &'a Inheritance<'a>,
}

/// A route of either kind.
pub(super) enum Lowered {
    Http(Box<Route>),
    Stream(Box<StreamRoute>),
}

pub(super) fn lower(
    raw: &Located<raw::Route>,
    targets: &Targets<'_>,
    report: &mut Report,
) -> Option<Lowered> {
    let listeners = listeners(raw, targets, report);
    let kind = listeners.as_ref().and_then(|bound| targets.kinds.get(bound.first()?.0));
    let stream = match kind {
        Some(ListenerKind::Tcp) => StreamKind::Tcp,
        Some(ListenerKind::TlsPassthrough) => StreamKind::TlsPassthrough,
        _ => {
            let route = http(raw, listeners, targets, report);
            return route.map(|route| Lowered::Http(Box::new(route)));
        }
    };
    stream::route(raw, stream, listeners?, targets, report)
        .map(|route| Lowered::Stream(Box::new(route)))
}

fn http(
    raw: &Located<raw::Route>,
    listeners: Option<Vec<ListenerId>>,
    targets: &Targets<'_>,
    report: &mut Report,
) -> Option<Route> {
    let raw_route = &raw.value;
    let matcher = matching::lower(raw_route.matcher.as_ref(), report);
    let action = action::lower(raw, targets, report);
    let request_headers = headers::lower(raw_route.request_headers.as_ref());
    let response_headers = headers::lower(raw_route.response_headers.as_ref());
    let bound = listeners.as_deref().unwrap_or_default();
    let policies = policies::of_route(raw_route, bound, targets.policies, report);
    let name = raw_route.name.as_ref()?;
    let limits = raw_route.request_limits.as_ref();
    let body_limit = super::inherit::within(limits, |one| &one.body);
    Some(Route {
        name: name.value.clone(),
        location: name.location.clone(),
        listeners: listeners?,
        matcher: matcher?,
        action: action?,
        request_headers,
        response_headers,
        allow_encoded_slash: super::on(&raw_route.allow_encoded_slash).is_some(),
        body_limit: body_limit
            .map(|one| Sourced { value: one.value, origin: Origin::Route(one.location.clone()) }),
        policies: policies?,
    })
}

fn listeners(
    raw: &Located<raw::Route>,
    targets: &Targets<'_>,
    report: &mut Report,
) -> Option<Vec<ListenerId>> {
    let Some(listed) = &raw.value.listeners else {
        let kinds = targets.kinds.iter().enumerate();
        let http = kinds.filter(|(_, kind)| **kind == ListenerKind::Http);
        let all: Vec<_> = http.map(|(index, _)| ListenerId(index)).collect();
        if all.is_empty() && !targets.kinds.is_empty() {
            report.push(
                Diagnostic::error(raw.location.clone(), "no `http` listener carries this route")
                    .across(),
            );
            return None;
        }
        return Some(all);
    };
    if listed.value.is_empty() {
        report.push(
            Diagnostic::error(
                listed.location.clone(),
                "a route bound to no listener is never used",
            )
            .help("remove `listeners` to bind it to all"),
        );
        return None;
    }
    let mut bound = Vec::new();
    let mut right = true;
    for name in &listed.value {
        match targets.listeners.find(name, report) {
            Some(index) if targets.kinds[index] == ListenerKind::Status => {
                let message = format!("the listener `{}` carries no routes", name.value);
                report.push(Diagnostic::error(name.location.clone(), message).across());
                right = false;
            }
            Some(index) if bound.contains(&ListenerId(index)) => {}
            Some(index)
                if bound
                    .first()
                    .is_some_and(|first| targets.kinds[first.0] != targets.kinds[index]) =>
            {
                let message =
                    format!("the listener `{}` is of another kind than the first", name.value);
                report.push(
                    Diagnostic::error(name.location.clone(), message)
                        .help("the listeners of one route are of one kind")
                        .across(),
                );
                right = false;
            }
            Some(index) => bound.push(ListenerId(index)),
            None => right = false,
        }
    }
    right.then_some(bound)
}
