//! Listeners and routes of bytes that are passed on, as the admin API shows them.

use serde_json::{Value, json};

use super::listener::{connection_limits, listener_tls, trusted_hops, trusted_proxies};
use super::route::backends;
use super::{add, duration, number, object};
use crate::model::{Config, ProxyProtocol, ProxyVersion, StreamListener, StreamRoute};

pub(super) fn listener(stream: &StreamListener) -> Value {
    object([
        ("tls", stream.tls.as_ref().map_or(Value::Null, listener_tls)),
        ("connectionLimits", connection_limits(&stream.connection_limits)),
        (
            "timeouts",
            json!({
                "head": duration(&stream.timeouts.head),
                "handshake": duration(&stream.timeouts.handshake),
            }),
        ),
        ("proxyProtocol", proxy_protocol(stream.proxy_protocol)),
        ("trustedProxies", trusted_proxies(&stream.trust)),
        ("trustedHops", trusted_hops(&stream.trust)),
    ])
}

pub(super) fn route(route: &StreamRoute, config: &Config) -> Value {
    let listeners = route.listeners.iter().filter_map(|id| config.listeners.get(id.0));
    let sni: Vec<_> = route.sni.iter().map(ToString::to_string).collect();
    let mut shown = object([
        ("name", json!(route.name)),
        ("location", json!(route.location.to_string())),
        ("listeners", listeners.map(|one| json!(one.name)).collect()),
        ("match", if sni.is_empty() { Value::Null } else { json!({"sni": sni}) }),
        ("backends", backends(&route.backends, config)),
        ("timeouts", json!({"idle": duration(&route.idle)})),
        ("retry", json!({"retries": number(&route.retry.retries)})),
    ]);
    add(&mut shown, route.policies.show(config));
    shown
}

pub(super) fn proxy_protocol(mode: ProxyProtocol) -> Value {
    json!(match mode {
        ProxyProtocol::Disabled => "disabled",
        ProxyProtocol::Accept => "accept",
        ProxyProtocol::Require => "require",
    })
}

pub(super) fn proxy_version(version: Option<ProxyVersion>) -> Value {
    json!(match version {
        None => "disabled",
        Some(ProxyVersion::V1) => "v1",
        Some(ProxyVersion::V2) => "v2",
    })
}
