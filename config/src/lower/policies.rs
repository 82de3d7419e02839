//! Policies of listeners and of routes: where they may be written, and what holds together.
//!
//! It knows none of them by name.

use super::inherit::Inheritance;
use super::{listener, refuse, stream};
use crate::diagnostics::Report;
use crate::location::Origin;
use crate::model::{Listener, ListenerId, Route, StreamKind, StreamRoute};
use crate::policy::{Policies, RoutePolicies};
use crate::raw::{self, ListenerKind};

/// What a listener says over `defaults`. `None` when the report says what is wrong.
pub(super) fn of_listener(
    raw: &raw::Listener,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> Option<Policies> {
    let own = raw.policies.lower(Origin::Listener, report);
    let kind = match listener::kind_of(raw) {
        ListenerKind::Http => return Some(own?.over(inheritance.policies())),
        ListenerKind::Status => {
            let mut right = Some(());
            for (key, _, at) in raw.policies.places() {
                let message = format!("a `status` listener has no `{key}`");
                right = right.and(refuse(Some(at), message, report));
            }
            return right.map(|()| Policies::default());
        }
        ListenerKind::Tcp => StreamKind::Tcp,
        ListenerKind::TlsPassthrough => StreamKind::TlsPassthrough,
    };
    stream::foreign(kind, raw.policies.for_http(), report)?;
    Some(own?.over(&inheritance.policies().of_streams()))
}

/// What a route says over its listeners, of which `listeners` has all by their place.
pub(super) fn of_route(
    raw: &raw::Route,
    bound: &[ListenerId],
    listeners: &[Option<Policies>],
    report: &mut Report,
) -> Option<RoutePolicies> {
    let own = raw.policies.lower(Origin::Route, report)?;
    Some(RoutePolicies::resolve(&own, bound, listeners))
}

/// What is doubtful of a policy where it holds.
pub(super) fn check(
    listeners: &[Listener],
    routes: &[Route],
    stream_routes: &[StreamRoute],
    report: &mut Report,
) {
    for listener in listeners {
        listener.policies.check(listener, report);
    }
    let http = routes.iter().map(|route| &route.policies);
    let own = http.chain(stream_routes.iter().map(|route| &route.policies));
    for policies in own {
        for (id, policies) in policies.iter() {
            if let Some(listener) = listeners.get(id.0) {
                policies.check(listener, report);
            }
        }
    }
}
