//! Listeners, as the admin API shows them.

use serde_json::{Value, json};

use super::{add, duration, file, number, object, size, stream, unix, version};
use crate::model::{
    CertificateSource, ClientAuthMode, ConnectionLimits, HttpListener, ListenAddress, Listener,
    ListenerKind, ListenerTls, Protocols, Trust, Underscores, Upgrades,
};

pub(super) fn listener(listener: &Listener) -> Value {
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
    add(&mut shown, listener.policies.show());
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

pub(super) fn connection_limits(limits: &ConnectionLimits) -> Value {
    object([
        ("max", number(&limits.max)),
        ("maxAge", limits.max_age.as_ref().map_or(Value::Null, duration)),
    ])
}

pub(super) fn trusted_proxies(trust: &Trust) -> Value {
    match trust {
        Trust::Proxies(networks) => networks.iter().map(|one| json!(one.to_string())).collect(),
        Trust::None | Trust::Hops(_) => Value::Null,
    }
}

pub(super) fn trusted_hops(trust: &Trust) -> Value {
    match trust {
        Trust::Hops(hops) => json!(hops),
        Trust::None | Trust::Proxies(_) => Value::Null,
    }
}

pub(super) fn listener_tls(tls: &ListenerTls) -> Value {
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
