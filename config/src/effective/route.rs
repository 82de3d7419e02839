//! Routes of HTTP, as the admin API shows them.

use serde_json::{Map, Value, json};

use super::{add, duration, number, object, size, sourced};
use crate::model::{
    Action, Backend, Config, Forward, HeaderEdits, HeaderValueEdit, HostHandling, Match, Redirect,
    RedirectPath, Rewrite, Route, Scheme, ValueMatch, ValueTest, WebSocket,
};
use crate::units::format_duration;
use crate::values::{HeaderName, PathPattern};

pub(super) fn route(route: &Route, config: &Config) -> Value {
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
    add(&mut shown, route.policies.show(config));
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

pub(super) fn backends(backends: &[Backend], config: &Config) -> Value {
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
