//! Configured routes into live ones: everything that a request would otherwise have to compute.
//!
//! The configuration is valid in itself already; what can still be wrong here is what only the
//! matching rules know, such as a path that no normalised request could have.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_config::location::Location;
use portcullis_config::model::{self, Config, UpstreamProtocol};

use super::backends::Backends;
use super::{Action, Forward, Matcher, Route, RouteId, Timeouts};
use crate::http1::edits::{EditError, Edits};
use crate::policy::PolicyFault;
use crate::policy::redirect::Redirect;
use crate::policy::reply::Reply;
use crate::policy::rewrite::Rewrite;
use crate::policy::sticky::{StickyPolicy, upstream_key};
use crate::policy::{Policy, RoutePolicies};
use crate::target::{TargetFault, host};
use crate::websocket::Rules;

/// A route that cannot be made live, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: route `{route}`: {fault}")]
pub struct RouteError {
    pub route: String,
    pub location: Location,
    pub fault: RouteFault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    #[error(transparent)]
    Target(#[from] TargetFault),
    #[error(transparent)]
    Policy(#[from] PolicyFault),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("the regex `{0}` cannot be anchored")]
    Regex(String),
    #[error("no backend has a weight above 0")]
    NoWeight,
}

/// Every route of a configuration, in the order of the file: `routes[id.0].id == id`. What the
/// policies of a route have learnt is handed on from the route of its name in `before`.
///
/// # Errors
/// One error for each route that cannot be made live.
pub fn compile(config: &Config, before: &[Arc<Route>]) -> Result<Vec<Arc<Route>>, Vec<RouteError>> {
    let mut routes = Vec::with_capacity(config.routes.len());
    let mut errors = Vec::new();
    let mut made = Vec::new();
    let before: HashMap<_, _> = before.iter().map(|route| (route.name.as_str(), route)).collect();
    for (index, route) in config.routes.iter().enumerate() {
        let before = before.get(route.name.as_str()).map(|before| &before.policies);
        match live(config, route, RouteId(index), (&mut made, before)) {
            Ok(live) => routes.push(Arc::new(live)),
            Err(fault) => errors.push(RouteError {
                route: route.name.clone(),
                location: route.location.clone(),
                fault,
            }),
        }
    }
    if errors.is_empty() { Ok(routes) } else { Err(errors) }
}

fn live(
    config: &Config,
    route: &model::Route,
    id: RouteId,
    (made, before): (&mut Vec<Policy>, Option<&RoutePolicies>),
) -> Result<Route, RouteFault> {
    let matcher = Matcher::compile(&route.matcher, route.allow_encoded_slash)?;
    let action = match &route.action {
        model::Action::Forward(it) => {
            Action::Forward(Box::new(forward(config, it, &matcher, route.allow_encoded_slash)?))
        }
        model::Action::Redirect(it) => Action::Redirect(Redirect::compile(it, matcher.prefix())?),
        model::Action::Reply(it) => Action::Reply(Reply::compile(it)?),
    };
    Ok(Route {
        id,
        name: route.name.clone(),
        location: route.location.clone(),
        listeners: route.listeners.clone(),
        matcher,
        action,
        policies: RoutePolicies::compile(&route.policies, made, before)?,
        request_edits: Edits::try_new(&route.request_headers)?,
        response_edits: Edits::try_new(&route.response_headers)?,
        allow_encoded_slash: route.allow_encoded_slash,
        body_limit: route.body_limit.as_ref().map(|it| it.value),
    })
}

fn forward(
    config: &Config,
    forward: &model::Forward,
    matcher: &Matcher,
    allow_encoded_slash: bool,
) -> Result<Forward, RouteFault> {
    let key = |id: model::UpstreamId| upstream_key(&config.upstreams[id.0].name);
    let rewrite = forward.rewrite.as_ref();
    if let model::HostHandling::Set(name) = &forward.host
        && (name.is_empty() || host::normalise(name.as_bytes(), &mut Vec::new()).is_err())
    {
        return Err(TargetFault::Host(name.clone()).into());
    }
    Ok(Forward {
        backends: Backends::try_new(&forward.backends, key).ok_or(RouteFault::NoWeight)?,
        sticky: forward.sticky.as_ref().map(StickyPolicy::compile).transpose()?,
        rewrite: rewrite
            .map(|it| Rewrite::compile(it, matcher.prefix(), allow_encoded_slash))
            .transpose()?,
        host: forward.host.clone(),
        timeouts: Timeouts {
            response: forward.timeouts.response.value,
            per_try: forward.timeouts.per_try.value,
            idle: forward.timeouts.idle.value,
        },
        retries: forward.retry.retries.value,
        follows_messages: forward.backends.iter().all(|backend| {
            config.upstreams[backend.upstream.0].protocol == UpstreamProtocol::Http2
        }),
        grpc_web: forward.grpc_web.is_some(),
        websocket: Rules {
            idle: *forward.websocket.idle_timeout,
            max_age: forward.websocket.max_age.as_ref().map(|age| **age),
            close_code: forward.websocket.drain.close_code.get(),
            jitter: *forward.websocket.drain.jitter,
        },
    })
}
