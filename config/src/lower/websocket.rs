//! What holds for the WebSocket connections of a route.

use super::inherit::{Inheritance, within};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Origin, Sourced};
use crate::model::{WebSocket, WebSocketDrain};
use crate::raw;

pub(super) fn lower(
    raw: Option<&Located<raw::WebSocket>>,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> WebSocket {
    let WebSocket { idle_timeout, drain: built_in, .. } = WebSocket::default();
    let drain = within(raw, |one| &one.drain);
    let max_age = within(raw, |one| &one.max_age);
    let idle_timeout = inheritance.pick(
        within(raw, |one| &one.idle_timeout),
        Origin::Route,
        |_| None,
        idle_timeout.value,
    );
    if let (Origin::Route(at), Some(age)) = (&idle_timeout.origin, max_age)
        && age.value < idle_timeout.value
    {
        report.push(
            Diagnostic::warning(at.clone(), "`idleTimeout` is longer than `maxAge`, which ends it")
                .related(age.location.clone(), "`maxAge` is set here"),
        );
    }
    WebSocket {
        idle_timeout,
        max_age: max_age
            .map(|one| Sourced { value: one.value, origin: Origin::Route(one.location.clone()) }),
        drain: WebSocketDrain {
            close_code: inheritance.pick(
                within(drain, |one| &one.close_code),
                Origin::Route,
                |_| None,
                built_in.close_code.value,
            ),
            jitter: inheritance.pick(
                within(drain, |one| &one.jitter),
                Origin::Route,
                |_| None,
                built_in.jitter.value,
            ),
        },
    }
}
