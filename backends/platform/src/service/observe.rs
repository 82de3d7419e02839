//! Gives each request its identity and leaves exactly one record of it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::metrics::{CLIENT_LEFT, HttpMetrics};
use crate::request::RequestContext;

/// Routes for probes and scrapers: logged only when someone debugs.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

pub(super) async fn observe(
    State(metrics): State<Arc<HttpMetrics>>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let context = RequestContext::of(request.headers());
    let span = tracing::info_span!(
        "request",
        request_id = context.request_id(),
        traceparent = context.traceparent(),
        method = %request.method(),
        path = request.uri().path(),
    );
    let method = request.method().clone();
    request.extensions_mut().insert(context.clone());
    async move {
        let mut record = Record::begin(metrics, method, matched);
        let mut response = next.run(request).await;
        record.status = Some(response.status());
        context.apply(response.headers_mut());
        response
    }
    .instrument(span)
    .await
}

/// The access record, written on drop: also when the client leaves first.
struct Record {
    metrics: Arc<HttpMetrics>,
    method: Method,
    route: Option<MatchedPath>,
    started: Instant,
    status: Option<StatusCode>,
}

impl Record {
    fn begin(metrics: Arc<HttpMetrics>, method: Method, route: Option<MatchedPath>) -> Self {
        metrics.begin();
        Self { metrics, method, route, started: Instant::now(), status: None }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        self.metrics.end(&self.method, route, self.status, elapsed);
        let status = self.status.unwrap_or(CLIENT_LEFT).as_u16();
        let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        if PROBES.contains(&route) {
            tracing::debug!(route, status, duration_us, "request");
        } else {
            tracing::info!(route, status, duration_us, "request");
        }
    }
}
