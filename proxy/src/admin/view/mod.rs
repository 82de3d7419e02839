//! What the admin API shows: JSON made from the published snapshot and the counters.
//!
//! Texts with references are shown as they are written; nothing here reads a secret's value.

mod listeners;
mod routes;
mod upstreams;

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use portcullis_config::effective;
use serde_json::{Value, json};

pub(super) use listeners::{certificates, listeners};
pub(super) use routes::routes;
pub(super) use upstreams::upstreams;

use super::shared::Shared;
use crate::observe::clock::rfc3339;
use crate::tls::{CertificateInfo, CertificateOrigin};

/// Which build this is, what it serves and what became of the last reload.
pub(super) fn version(shared: &Shared) -> Value {
    let last = shared.control.last.load();
    let memory = shared.metrics.memory();
    let started = shared.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "generation": shared.published.load().generation,
        "started": rfc3339(i64::try_from(started).unwrap_or(i64::MAX)),
        "uptimeSeconds": shared.uptime().as_secs(),
        "workers": shared.metrics.workers(),
        "draining": shared.metrics.is_draining(),
        "memory": {
            "residentBytes": memory.resident(),
            "limitBytes": memory.limit(),
            "level": memory.level().word(),
        },
        "lastReload": {
            "refused": last.refused,
            "report": last.problems,
            "stale": paths(&last.stale),
        },
    })
}

/// The configuration in force.
pub(super) fn config(shared: &Shared) -> Value {
    let snapshot = shared.published.load_full();
    json!({"generation": snapshot.generation, "config": effective(&snapshot.config)})
}

pub(super) fn paths(paths: &[PathBuf]) -> Value {
    paths.iter().map(|path| path.display().to_string()).collect()
}

fn certificate(certificate: &CertificateInfo) -> Value {
    use std::fmt::Write;

    let fingerprint = certificate.fingerprint.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    json!({
        "subject": certificate.subject,
        "names": certificate.names,
        "notBefore": rfc3339(certificate.not_before),
        "notAfter": rfc3339(certificate.not_after),
        "serial": certificate.serial,
        "sha256": fingerprint,
        "source": match &certificate.source {
            CertificateOrigin::File(path) => path.display().to_string(),
            CertificateOrigin::SelfSigned => "self-signed".to_owned(),
        },
    })
}
