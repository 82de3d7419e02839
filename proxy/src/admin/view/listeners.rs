//! Listeners, and the certificates that they and the upstreams show.

use portcullis_config::model::ListenerKind;
use serde_json::{Value, json};

use super::certificate;
use crate::admin::shared::Shared;

/// Every listener and the admin API, with what is bound for it.
pub(in crate::admin) fn listeners(shared: &Shared) -> Value {
    let snapshot = shared.published.load_full();
    let bound = shared.bound();
    let address = |name: &str| {
        let found = bound.iter().find(|(bound, _)| bound == name);
        found.map(|(_, address)| address.to_string())
    };
    let listeners = snapshot.config.listeners.iter().map(|listener| {
        let live = snapshot.listeners.iter().find(|live| *live.name == *listener.name);
        let (kind, tls) = match &listener.kind {
            ListenerKind::Http(http) => ("http", http.tls.is_some()),
            ListenerKind::Status => ("status", false),
        };
        json!({
            "name": listener.name,
            "location": listener.location.to_string(),
            "kind": kind,
            "address": address(&listener.name),
            "tls": tls,
            "connections": live.map(|live| live.metrics.active()),
            "requests": live.map(|live| live.metrics.requests()),
        })
    });
    let admin = snapshot.config.admin.iter().map(|admin| {
        json!({
            "name": "admin",
            "location": admin.location.to_string(),
            "kind": "admin",
            "address": address("admin"),
            "tls": false,
        })
    });
    json!({
        "generation": snapshot.generation,
        "listeners": listeners.chain(admin).collect::<Value>(),
    })
}

/// Every certificate that is shown to a client or an upstream.
pub(in crate::admin) fn certificates(shared: &Shared) -> Value {
    let snapshot = shared.published.load_full();
    let listeners = snapshot.listeners.iter().filter_map(|listener| {
        let tls = listener.tls.as_ref()?;
        let certificates: Value = tls.certificates().iter().map(certificate).collect();
        Some(json!({"name": &*listener.name, "certificates": certificates}))
    });
    let upstreams = snapshot.upstreams.iter().filter_map(|upstream| {
        let shown = upstream.tls.as_ref()?.certificate()?;
        Some(json!({"name": &*upstream.name, "certificates": [certificate(&shown)]}))
    });
    json!({
        "generation": snapshot.generation,
        "listeners": listeners.collect::<Value>(),
        "upstreams": upstreams.collect::<Value>(),
    })
}
