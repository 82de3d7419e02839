//! The configuration in force, as the admin API shows it.
//!
//! Texts with references are shown as written, and each inherited value says which level set it.

mod listener;
mod route;
mod stream;
mod upstream;

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::location::{FileRef, Sourced};
use crate::model::{
    AccessLog, AccessLogSink, Admin, AdminAddress, Config, MemoryLimit, TlsVersion, Workers,
};
use crate::units::{format_duration, format_share, format_size};
use crate::values::HeaderName;

/// Everything that holds, defaults included. `{value, origin}` where levels are inherited.
pub fn effective(config: &Config) -> Value {
    json!({
        "version": "v1",
        "workers": match config.workers {
            Workers::Auto => json!("auto"),
            Workers::Count(count) => json!(count),
        },
        "listeners": config.listeners.iter().map(listener::listener).collect::<Vec<_>>(),
        "upstreams": config.upstreams.iter().map(upstream::upstream).collect::<Vec<_>>(),
        "routes": routes(config),
        "limits": {"memory": sourced(&config.limits.memory, |one| memory(*one))},
        "accessLog": access_log(&config.access_log),
        "admin": config.admin.as_ref().map(admin),
        "shutdown": {"drainTimeout": duration(&config.shutdown.drain_timeout)},
    })
}

/// Those of HTTP first, each kind in the order of the file.
fn routes(config: &Config) -> Value {
    let http = config.routes.iter().map(|one| route::route(one, config));
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

fn memory(limit: MemoryLimit) -> Value {
    match limit {
        MemoryLimit::Auto => "auto".into(),
        MemoryLimit::Disabled => "disabled".into(),
        MemoryLimit::Bytes(bytes) => format_size(bytes).into(),
    }
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

/// Adds to an object the keys that have a value.
fn add(shown: &mut Value, keys: Vec<(&'static str, Value)>) {
    let present = keys.into_iter().filter(|(_, value)| !value.is_null());
    if let Some(shown) = shown.as_object_mut() {
        shown.extend(present.map(|(key, value)| (key.to_owned(), value)));
    }
}

fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V12 => "TLSv1.2",
        TlsVersion::V13 => "TLSv1.3",
    }
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
