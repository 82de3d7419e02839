//! Upstreams as they are now: endpoints, connections, names and certificates.

use serde_json::{Value, json};

use super::certificate;
use crate::admin::shared::Shared;
use crate::observe::metrics::Metrics;
use crate::upstream::cluster::SourceStatus;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::live::LiveUpstream;

/// Every upstream with its endpoints.
pub(in crate::admin) fn upstreams(shared: &Shared) -> Value {
    let snapshot = shared.published.load_full();
    let upstreams = snapshot.upstreams.iter().map(|upstream| one(&shared.metrics, upstream));
    json!({
        "generation": snapshot.generation,
        "upstreams": upstreams.collect::<Value>(),
    })
}

fn one(metrics: &Metrics, upstream: &LiveUpstream) -> Value {
    let cluster = &upstream.cluster;
    let endpoints = cluster.endpoints();
    let shown = endpoints.endpoints.iter().map(|one| endpoint(metrics, &upstream.name, one));
    let limits = &cluster.config.concurrency;
    let tls = upstream
        .tls
        .as_ref()
        .map(|tls| json!({"clientCertificate": tls.certificate().as_ref().map(certificate)}));
    json!({
        "name": &*upstream.name,
        "location": cluster.config.location.to_string(),
        "endpoints": shown.collect::<Value>(),
        "endpointsGeneration": endpoints.generation,
        "openConnections": cluster.open_connections(),
        "maxConnections": limits.max_connections.get(),
        "idleConnections": upstream.metrics.idle(),
        "pendingRequests": cluster.pending_requests(),
        "maxPending": *limits.max_pending,
        "dns": cluster.sources().iter().map(source).collect::<Value>(),
        "tls": tls,
    })
}

fn endpoint(metrics: &Metrics, upstream: &str, endpoint: &Endpoint) -> Value {
    let address = endpoint.address.to_string();
    let counts = metrics.endpoint(upstream, &address);
    json!({
        "address": address,
        "host": endpoint.host,
        "weight": endpoint.weight,
        "inFlight": counts.in_flight(),
        "requests": counts.requests(),
        "failures": counts.failures(),
    })
}

fn source(source: &SourceStatus) -> Value {
    json!({
        "host": source.host,
        "addresses": source.addresses,
        "failures": source.failures,
        "lastError": source.last_error.map(|error| error.to_string()),
    })
}
