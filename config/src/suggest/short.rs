//! The object that is meant when one value is written in its place.

/// By the object as messages name it; `*` is where the value goes.
const SHORT: &[(&str, &str)] = &[
    ("a listener", "{name: ..., address: *}"),
    ("the `tls` of a listener", "{certificates: [{certFile: ..., keyFile: ...}]}"),
    ("`clientAuth`", "{mode: *, caFile: ...}"),
    ("`requestLimits`", "{body: *}"),
    ("the `requestLimits` of a route", "{body: *}"),
    ("`connectionLimits`", "{max: *}"),
    ("the `timeouts` of a listener", "{head: *, idle: *, body: *}"),
    ("`path`", "{prefix: *}"),
    ("a header to match", "{name: *}"),
    ("a query parameter to match", "{name: *}"),
    ("a cookie to match", "{name: *}"),
    ("a backend", "{upstream: *}"),
    ("`redirect`", "{scheme: *}"),
    ("`reply`", "{body: *}"),
    ("`rewrite`", "{prefix: *}"),
    ("`sticky`", "{cookie: *}"),
    ("`timeouts`", "{response: *}"),
    ("`retry`", "{retries: *}"),
    ("an upstream", "{name: *, endpoints: [...]}"),
    ("an endpoint", "{address: *}"),
    ("`loadBalancer`", "{policy: *}"),
    ("`hash`", "{header: *}"),
    ("`concurrency`", "{maxConnections: *}"),
    ("`keepAlive`", "{idleTimeout: *}"),
    ("`limits`", "{memory: *}"),
    ("`accessLog`", "{path: *}"),
    ("`admin`", "{address: *}"),
    ("`shutdown`", "{drainTimeout: *}"),
];

/// Objects of which all keys may be left out, so that `true` is `{}`.
const EMPTY: &[&str] = &["the `tls` of an upstream", "`websocket`"];

/// How `object` is written where `value` stands in its place.
pub(crate) fn form(object: &str, value: &str) -> Option<String> {
    if value == "true" && EMPTY.contains(&object) {
        return Some("write `{}`".to_owned());
    }
    let (_, form) = SHORT.iter().find(|(of, _)| *of == object)?;
    // What cannot stand there as it is would be wrong again.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:*%[]".contains(&byte);
    let value = match value {
        "true" | "false" | "" => "...".to_owned(),
        value if !value.bytes().all(plain) || value.len() > 60 => "...".to_owned(),
        value if value.contains([':', '[', '*', '%']) => format!("\"{value}\""),
        value => value.to_owned(),
    };
    Some(format!("write `{}`", form.replace('*', &value)))
}

#[cfg(test)]
pub(crate) fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
    SHORT.iter().copied().chain(EMPTY.iter().map(|object| (*object, "{}")))
}
