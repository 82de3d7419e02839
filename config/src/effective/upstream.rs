//! Upstreams, as the admin API shows them.

use serde_json::{Value, json};

use super::{duration, file, number, object, sourced, stream, unix, version};
use crate::model::{
    BalancePolicy, EndpointSource, EndpointTarget, HashKey, TrustAnchors, Upstream,
    UpstreamProtocol, UpstreamTls,
};
use crate::units::format_duration;

pub(super) fn upstream(upstream: &Upstream) -> Value {
    object([
        ("name", json!(upstream.name)),
        ("location", json!(upstream.location.to_string())),
        ("endpoints", upstream.endpoints.iter().map(endpoint).collect()),
        (
            "loadBalancer",
            object([
                ("policy", sourced(&upstream.load_balancer.policy, |one| policy(one).0.into())),
                ("hash", policy(&upstream.load_balancer.policy.value).1),
                ("slowStart", json!(upstream.load_balancer.slow_start.map(format_duration))),
            ]),
        ),
        ("tls", upstream.tls.as_ref().map_or(Value::Null, upstream_tls)),
        (
            "concurrency",
            json!({
                "maxConnections": number(&upstream.concurrency.max_connections),
                "maxPending": number(&upstream.concurrency.max_pending),
            }),
        ),
        (
            "keepAlive",
            json!({
                "maxIdle": number(&upstream.keep_alive.max_idle),
                "idleTimeout": duration(&upstream.keep_alive.idle_timeout),
            }),
        ),
        ("protocol", json!(upstream_protocol(upstream.protocol))),
        ("connectTimeout", duration(&upstream.connect_timeout)),
        ("proxyProtocol", stream::proxy_version(upstream.proxy_protocol)),
    ])
}

fn upstream_protocol(protocol: UpstreamProtocol) -> &'static str {
    match protocol {
        UpstreamProtocol::Auto => "auto",
        UpstreamProtocol::Http1 => "http1",
        UpstreamProtocol::Http2 => "http2",
    }
}

fn endpoint(endpoint: &EndpointSource) -> Value {
    let weight = json!(endpoint.weight);
    match &endpoint.target {
        EndpointTarget::Address(address) => {
            json!({"address": address.to_string(), "weight": weight})
        }
        EndpointTarget::Unix(socket) => json!({"address": unix(socket), "weight": weight}),
        EndpointTarget::Dns { host, port } => {
            json!({"dns": host, "port": port, "weight": weight})
        }
    }
}

fn policy(policy: &BalancePolicy) -> (&'static str, Value) {
    let hash = |key: &HashKey| match key {
        HashKey::Header(name) => json!({"header": name.as_str()}),
        HashKey::Cookie(name) => json!({"cookie": name}),
        HashKey::Query(name) => json!({"query": name}),
        HashKey::SourceIp => json!({"sourceIp": true}),
        HashKey::Path => json!({"path": true}),
    };
    match policy {
        BalancePolicy::RoundRobin => ("round-robin", Value::Null),
        BalancePolicy::LeastRequest => ("least-request", Value::Null),
        BalancePolicy::P2cEwma => ("p2c-ewma", Value::Null),
        BalancePolicy::Random => ("random", Value::Null),
        BalancePolicy::RingHash(key) => ("ring-hash", hash(key)),
        BalancePolicy::Maglev(key) => ("maglev", hash(key)),
    }
}

fn upstream_tls(tls: &UpstreamTls) -> Value {
    let (mode, ca) = match (&tls.ca, &tls.client_certificate) {
        (TrustAnchors::InsecureNoVerify, _) => ("insecure", Value::Null),
        (TrustAnchors::System, client) => (mode(client.is_some()), json!("system")),
        (TrustAnchors::File(ca), client) => (mode(client.is_some()), file(ca)),
    };
    let (cert, key) = match &tls.client_certificate {
        Some((cert, key)) => (file(cert), file(key)),
        None => (Value::Null, Value::Null),
    };
    object([
        ("mode", json!(mode)),
        ("caFile", ca),
        ("certFile", cert),
        ("keyFile", key),
        ("serverName", json!(tls.server_name)),
        ("identities", json!(tls.identities)),
        ("minVersion", json!(version(tls.min_version))),
        ("maxVersion", json!(version(tls.max_version))),
    ])
}

fn mode(shows_certificate: bool) -> &'static str {
    if shows_certificate { "mutual" } else { "tls" }
}
