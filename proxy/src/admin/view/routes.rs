//! Routes as requests meet them.

use std::sync::Arc;

use portcullis_config::effective;
use serde_json::{Value, json};

use crate::admin::shared::Shared;
use crate::route::{Route, RouteId};
use crate::snapshot::Snapshot;
use crate::snapshot::stream::StreamRoute;

/// The routes of each listener, in the order of precedence, with what they did so far.
pub(in crate::admin) fn routes(shared: &Shared) -> Value {
    let snapshot = shared.published.load_full();
    let mut shown = effective(&snapshot.config);
    let configured = match shown["routes"].take() {
        Value::Array(routes) => routes,
        _ => Vec::new(),
    };
    let listeners = snapshot.listeners.iter().map(|listener| {
        let routes = listener.table.in_order();
        let routes = routes.into_iter().map(|route| one(&snapshot, route, &configured));
        json!({"name": &*listener.name, "routes": routes.collect::<Value>()})
    });
    let streams = snapshot.streams.iter().map(|listener| {
        let bound = |route: &&Arc<StreamRoute>| {
            route.listeners.iter().any(|id| {
                snapshot.config.listeners.get(id.0).is_some_and(|it| *it.name == *listener.name)
            })
        };
        let routes = snapshot.stream_routes.iter().filter(bound);
        let routes = routes.map(|route| tunnel(&snapshot, route, &configured));
        json!({"name": &*listener.name, "routes": routes.collect::<Value>()})
    });
    json!({
        "generation": snapshot.generation,
        "listeners": listeners.chain(streams).collect::<Value>(),
        "unrouted": {"requests": snapshot.unrouted.requests()},
    })
}

/// A connection counts as one request. What is configured stands behind what is for HTTP.
fn tunnel(snapshot: &Snapshot, route: &StreamRoute, configured: &[Value]) -> Value {
    let written = configured.get(snapshot.routes.len() + route.index).unwrap_or(&Value::Null);
    json!({
        "name": &*route.name,
        "location": written.get("location"),
        "match": written.get("match"),
        "action": {"backends": written.get("backends")},
        "requests": route.metrics.requests(),
        "serverErrors": 0,
    })
}

fn one(snapshot: &Snapshot, route: &Arc<Route>, configured: &[Value]) -> Value {
    const ACTIONS: [&str; 3] = ["backends", "redirect", "reply"];
    let RouteId(index) = route.id;
    let written = configured.get(index).unwrap_or(&Value::Null);
    let action = ACTIONS.iter().find_map(|action| Some((*action, written.get(action)?)));
    let metrics = snapshot.route_metrics.get(index);
    json!({
        "name": route.name,
        "location": route.location.to_string(),
        "match": written.get("match"),
        "action": action.map(|(action, value)| json!({action: value})),
        "requests": metrics.map_or(0, |metrics| metrics.requests()),
        "serverErrors": metrics.map_or(0, |metrics| metrics.server_errors()),
    })
}
