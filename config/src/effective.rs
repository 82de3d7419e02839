//! The configuration in force, as the admin API shows it.
//!
//! Texts with references are shown as written, and each inherited value says which level set it.

mod stream;

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::location::{FileRef, Sourced};
use crate::model::{
    AccessLog, AccessLogSink, Action, Admin, AdminAddress, Backend, BalancePolicy,
    CertificateSource, ClientAuthMode, Config, ConnectionLimits, EndpointSource, EndpointTarget,
    Forward, HashKey, HeaderEdits, HeaderValueEdit, HostHandling, HttpListener, ListenAddress,
    Listener, ListenerKind, ListenerTls, Match, Protocols, Redirect, RedirectPath, Rewrite, Route,
    Scheme, TlsVersion, Trust, TrustAnchors, Underscores, Upgrades, Upstream, UpstreamProtocol,
    UpstreamTls, ValueMatch, ValueTest, WebSocket, Workers,
};
use crate::units::{format_duration, format_share, format_size};
use crate::values::{HeaderName, PathPattern};

/// Everything that holds, defaults included. `{value, origin}` where levels are inherited.
pub fn effective(config: &Config) -> Value {
    json!({
        "version": "v1",
        "workers": match config.workers {
            Workers::Auto => json!("auto"),
            Workers::Count(count) => json!(count),
        },
        "listeners": config.listeners.iter().map(listener).collect::<Vec<_>>(),
        "upstreams": config.upstreams.iter().map(upstream).collect::<Vec<_>>(),
        "routes": routes(config),
        "accessLog": access_log(&config.access_log),
        "admin": config.admin.as_ref().map(admin),
        "shutdown": {"drainTimeout": duration(&config.shutdown.drain_timeout)},
    })
}

/// Those of HTTP first, each kind in the order of the file.
fn routes(config: &Config) -> Value {
    let http = config.routes.iter().map(|one| route(one, config));
    http.chain(config.stream_routes.iter().map(|one| stream::route(one, config))).collect()
}

fn sourced<T>(sourced: &Sourced<T>, show: impl FnOnce(&T) -> Value) -> Value {
    json!({"value": show(&sourced.value), "origin": sourced.origin.to_string()})
}

fn duration(one: &Sourced<Duration>) -> Value {
    sourced(one, |one| format_duration(*one).into())
}

fn size(one: &Sourced<impl Copy + Into<u64>>) -> Value {
    sourced(one, |one| format_size((*one).into()).into())
}

fn number<T: Copy + serde::Serialize>(one: &Sourced<T>) -> Value {
    sourced(one, |one| json!(one))
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

fn file(file: &FileRef) -> Value {
    path(&file.path)
}

fn unix(socket: &Path) -> Value {
    format!("unix:{}", socket.display()).into()
}

/// An object without the keys that have no value.
fn object<const N: usize>(keys: [(&str, Value); N]) -> Value {
    let present = keys.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

fn listener(listener: &Listener) -> Value {
    let (address, v6only) = match &listener.address {
        ListenAddress::Tcp { address, v6only } => {
            let v6 = address.is_ipv6().then_some(*v6only);
            (json!(address.to_string()), json!(v6))
        }
        ListenAddress::Unix(socket) => (unix(socket), Value::Null),
    };
    let mut shown = object([
        ("name", json!(listener.name)),
        ("location", json!(listener.location.to_string())),
        ("address", address),
        ("v6only", v6only),
    ]);
    match &listener.kind {
        ListenerKind::Status => shown["kind"] = json!("status"),
        ListenerKind::Http(http) => {
            shown["kind"] = json!("http");
            if let (Some(shown), Value::Object(http)) = (shown.as_object_mut(), http_keys(http)) {
                shown.extend(http);
            }
        }
        ListenerKind::Stream(keys) => {
            shown["kind"] = json!(keys.kind.word());
            let keys = stream::listener(keys);
            if let (Some(shown), Value::Object(keys)) = (shown.as_object_mut(), keys) {
                shown.extend(keys);
            }
        }
    }
    shown
}

fn http_keys(http: &HttpListener) -> Value {
    object([
        ("tls", http.tls.as_ref().map_or(Value::Null, listener_tls)),
        ("protocols", json!(protocols(http.protocols))),
        (
            "requestLimits",
            json!({
                "headerBytes": size(&http.request_limits.header_bytes),
                "headers": number(&http.request_limits.headers),
                "uri": size(&http.request_limits.uri),
                "body": size(&http.request_limits.body),
            }),
        ),
        ("connectionLimits", connection_limits(&http.connection_limits)),
        (
            "timeouts",
            json!({
                "head": duration(&http.timeouts.head),
                "idle": duration(&http.timeouts.idle),
                "body": duration(&http.timeouts.body),
                "handshake": duration(&http.timeouts.handshake),
            }),
        ),
        (
            "headerUnderscores",
            json!(match http.header_underscores {
                Underscores::Reject => "reject",
                Underscores::Allow => "allow",
            }),
        ),
        ("upgrades", json!(upgrades(http.upgrades))),
        ("proxyProtocol", stream::proxy_protocol(http.proxy_protocol)),
        ("trustedProxies", trusted_proxies(&http.trust)),
        ("trustedHops", trusted_hops(&http.trust)),
    ])
}

fn connection_limits(limits: &ConnectionLimits) -> Value {
    object([
        ("max", number(&limits.max)),
        ("maxAge", limits.max_age.as_ref().map_or(Value::Null, duration)),
    ])
}

fn trusted_proxies(trust: &Trust) -> Value {
    match trust {
        Trust::Proxies(networks) => networks.iter().map(|one| json!(one.to_string())).collect(),
        Trust::Nobody | Trust::Hops(_) => Value::Null,
    }
}

fn trusted_hops(trust: &Trust) -> Value {
    match trust {
        Trust::Hops(hops) => json!(hops),
        Trust::Nobody | Trust::Proxies(_) => Value::Null,
    }
}

fn listener_tls(tls: &ListenerTls) -> Value {
    let certificate = |one: &CertificateSource| match one {
        CertificateSource::Files { cert, key } => {
            json!({"certFile": file(cert), "keyFile": file(key)})
        }
        CertificateSource::SelfSigned { names, .. } => json!({"selfSigned": true, "names": names}),
    };
    let client_auth = tls.client_auth.as_ref().map(|auth| {
        let mode = match auth.mode {
            ClientAuthMode::Optional => "optional",
            ClientAuthMode::Required => "required",
        };
        object([
            ("mode", json!(mode)),
            ("caFile", file(&auth.ca)),
            ("crlFile", auth.crl.as_ref().map_or(Value::Null, file)),
        ])
    });
    json!({
        "certificates": tls.certificates.iter().map(certificate).collect::<Vec<_>>(),
        "minVersion": version(tls.min_version),
        "maxVersion": version(tls.max_version),
        "clientAuth": client_auth.unwrap_or_else(|| json!({"mode": "none"})),
    })
}

fn protocols(spoken: Protocols) -> Vec<&'static str> {
    let all = [(spoken.http1, "http1"), (spoken.http2, "http2")];
    all.into_iter().filter(|(spoken, _)| *spoken).map(|(_, word)| word).collect()
}

fn upgrades(allowed: Upgrades) -> Vec<&'static str> {
    if allowed.websocket { vec!["websocket"] } else { Vec::new() }
}

fn websocket(one: &WebSocket) -> Value {
    object([
        ("idleTimeout", duration(&one.idle_timeout)),
        ("maxAge", one.max_age.as_ref().map_or(Value::Null, duration)),
        (
            "drain",
            json!({
                "closeCode": sourced(&one.drain.close_code, |code| json!(code.get())),
                "jitter": duration(&one.drain.jitter),
            }),
        ),
    ])
}

fn upstream_protocol(protocol: UpstreamProtocol) -> &'static str {
    match protocol {
        UpstreamProtocol::Auto => "auto",
        UpstreamProtocol::Http1 => "http1",
        UpstreamProtocol::Http2 => "http2",
    }
}

fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V12 => "TLSv1.2",
        TlsVersion::V13 => "TLSv1.3",
    }
}

fn upstream(upstream: &Upstream) -> Value {
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

fn route(route: &Route, config: &Config) -> Value {
    let listeners = route.listeners.iter().filter_map(|id| config.listeners.get(id.0));
    let mut shown = object([
        ("name", json!(route.name)),
        ("location", json!(route.location.to_string())),
        ("listeners", listeners.map(|one| json!(one.name)).collect()),
        ("match", matcher(&route.matcher)),
        ("responseHeaders", edits(&route.response_headers)),
        ("allowEncodedSlash", json!(route.allow_encoded_slash)),
        (
            "requestLimits",
            route.body_limit.as_ref().map_or(Value::Null, |body| json!({"body": size(body)})),
        ),
    ]);
    let action = match &route.action {
        Action::Forward(forward) => forward_keys(forward, route, config),
        Action::Redirect(one) => json!({"redirect": redirect(one)}),
        Action::Reply(reply) => json!({"reply": object([
            ("status", json!(reply.status.code())),
            ("contentType", json!(reply.content_type)),
            ("body", json!(reply.body.source())),
        ])}),
    };
    if let (Some(shown), Value::Object(action)) = (shown.as_object_mut(), action) {
        shown.extend(action);
    }
    shown
}

fn matcher(matcher: &Match) -> Value {
    let path = match &matcher.path {
        PathPattern::Exact(path) => json!({"exact": path}),
        PathPattern::Prefix(path) => json!({"prefix": rooted(path)}),
        PathPattern::Regex(regex) => json!({"regex": whole(regex)}),
    };
    let listed = |values: Vec<String>| {
        if values.is_empty() { Value::Null } else { json!(values) }
    };
    object([
        ("hosts", listed(matcher.hosts.iter().map(ToString::to_string).collect())),
        ("path", path),
        ("methods", listed(matcher.methods.iter().map(|one| one.as_str().to_owned()).collect())),
        ("headers", values(&matcher.headers, HeaderName::as_str)),
        ("query", values(&matcher.query, String::as_str)),
        ("cookies", values(&matcher.cookies, String::as_str)),
    ])
}

/// A held prefix as it is written.
fn rooted(prefix: &str) -> &str {
    if prefix.is_empty() { "/" } else { prefix }
}

/// An expression that must match the whole, without the anchors that the loader put around it.
fn whole(regex: &regex::Regex) -> &str {
    let text = regex.as_str();
    text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(text)
}

fn values<N>(matches: &[ValueMatch<N>], name: impl Fn(&N) -> &str) -> Value {
    if matches.is_empty() {
        return Value::Null;
    }
    let show = |one: &ValueMatch<N>| {
        let name = name(&one.name);
        match &one.test {
            ValueTest::Present => json!({"name": name, "present": true}),
            ValueTest::Absent => json!({"name": name, "present": false}),
            ValueTest::Exact(value) => json!({"name": name, "exact": value}),
            ValueTest::Prefix(value) => json!({"name": name, "prefix": value}),
            ValueTest::Regex(regex) => json!({"name": name, "regex": whole(regex)}),
        }
    };
    matches.iter().map(show).collect()
}

fn backends(backends: &[Backend], config: &Config) -> Value {
    let backends = backends.iter().map(|backend| {
        let upstream = config.upstreams.get(backend.upstream.0);
        json!({"upstream": upstream.map(|one| &one.name), "weight": backend.weight})
    });
    backends.collect()
}

fn forward_keys(forward: &Forward, route: &Route, config: &Config) -> Value {
    let sticky = forward.sticky.as_ref().map(|sticky| {
        object([
            ("cookie", json!(sticky.cookie)),
            ("maxAge", json!(sticky.max_age.map(format_duration))),
        ])
    });
    let rewrite = forward.rewrite.as_ref().map(|rewrite| match rewrite {
        Rewrite::Prefix(prefix) => json!({"prefix": rooted(prefix)}),
        Rewrite::Path(path) => json!({"path": path}),
        Rewrite::Regex { pattern, replacement } => {
            json!({"regex": pattern.as_str(), "replacement": replacement})
        }
    });
    object([
        ("backends", backends(&forward.backends, config)),
        ("sticky", json!(sticky)),
        ("rewrite", json!(rewrite)),
        (
            "host",
            json!(match &forward.host {
                HostHandling::Preserve => "preserve",
                HostHandling::Upstream => "upstream",
                HostHandling::Set(name) => name,
            }),
        ),
        ("requestHeaders", edits(&route.request_headers)),
        (
            "timeouts",
            json!({
                "response": duration(&forward.timeouts.response),
                "perTry": duration(&forward.timeouts.per_try),
                "idle": duration(&forward.timeouts.idle),
            }),
        ),
        ("retry", json!({"retries": number(&forward.retry.retries)})),
        ("grpcWeb", json!(forward.grpc_web.is_some())),
        ("websocket", websocket(&forward.websocket)),
    ])
}

fn redirect(redirect: &Redirect) -> Value {
    let scheme = redirect.scheme.map(|scheme| match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    });
    let (whole, prefix) = match &redirect.path {
        Some(RedirectPath::Full(path)) => (json!(path), Value::Null),
        Some(RedirectPath::Prefix(prefix)) => (Value::Null, json!(rooted(prefix))),
        None => (Value::Null, Value::Null),
    };
    object([
        ("scheme", json!(scheme)),
        ("host", json!(redirect.host)),
        ("port", json!(redirect.port)),
        ("path", whole),
        ("prefix", prefix),
        ("status", json!(redirect.status.code())),
    ])
}

fn edits(edits: &HeaderEdits) -> Value {
    let names = |names: &[HeaderName]| names.iter().map(|one| json!(one.as_str())).collect();
    let values = |edits: &[HeaderValueEdit]| {
        let show =
            |one: &HeaderValueEdit| json!({"name": one.name.as_str(), "value": one.value.source()});
        edits.iter().map(show).collect()
    };
    let unless_empty = |list: Value| match &list {
        Value::Array(items) if items.is_empty() => Value::Null,
        _ => list,
    };
    let shown = object([
        ("remove", unless_empty(names(&edits.remove))),
        ("set", unless_empty(values(&edits.set))),
        ("add", unless_empty(values(&edits.add))),
    ]);
    if shown.as_object().is_some_and(Map::is_empty) { Value::Null } else { shown }
}

fn access_log(log: &AccessLog) -> Value {
    json!({
        "format": "json",
        "path": match &log.sink {
            AccessLogSink::Disabled => json!("disabled"),
            AccessLogSink::Stdout => json!("stdout"),
            AccessLogSink::Stderr => json!("stderr"),
            AccessLogSink::File(file) => path(&file.path),
        },
        "timeline": log.timeline,
        "sample": format_share(log.sample),
        "headers": log.headers.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
    })
}

fn admin(admin: &Admin) -> Value {
    object([
        (
            "address",
            match &admin.address {
                AdminAddress::Loopback(address) => json!(address.to_string()),
                AdminAddress::Unix(socket) => unix(socket),
            },
        ),
        ("token", json!(admin.token.as_ref().map(|token| token.source()))),
    ])
}

#[cfg(test)]
mod tests;
