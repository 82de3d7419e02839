//! Listeners, and the certificates that they and the upstreams show.

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
        let http = snapshot.listeners.iter().map(|live| (&live.name, &live.metrics));
        let streams = snapshot.streams.iter().map(|live| (&live.name, &live.metrics));
        let live = http.chain(streams).find(|(name, _)| ***name == *listener.name);
        let metrics = live.map(|(_, metrics)| metrics);
        json!({
            "name": listener.name,
            "location": listener.location.to_string(),
            "kind": listener.kind.word(),
            "address": address(&listener.name),
            "tls": listener.kind.tls().is_some(),
            "connections": metrics.map(|metrics| metrics.active()),
            "requests": metrics.map(|metrics| metrics.requests()),
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
    let listeners = snapshot.server_tls().map(|(name, tls)| {
        let certificates: Value = tls.certificates().iter().map(certificate).collect();
        json!({"name": &**name, "certificates": certificates})
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
