//! The metrics that every service has: its requests, by route template, method and status; its
//! gRPC calls; its events.
//!
//! Labels come from closed sets: the routes that are mounted, the methods of RFC 9110, the status
//! codes. Nothing that a client makes up becomes a label.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// In seconds.
const DURATION_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Requests, counted once each.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
}

impl HttpMetrics {
    /// Fails if the registry holds metrics of these names already.
    pub fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        // prometheus identifies a series by the hash of its label values put end to end, so values
        // must not run into each other: a route begins with `/` (or is `unmatched`), no method
        // does, and the status has three characters.
        let requests = IntCounterVec::new(
            Opts::new("shop_http_requests_total", "Requests, by route template and status"),
            &["method", "route", "status"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "shop_http_request_duration_seconds",
                "Time from a request's head to its response's head",
            )
            .buckets(DURATION_BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        let in_flight = IntGauge::new("shop_http_requests_in_flight", "Requests being answered")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self { requests, duration, in_flight })
    }

    pub(crate) fn begin(&self) {
        self.in_flight.inc();
    }

    /// `status` is `None` for a client that left before its answer.
    pub(crate) fn end(
        &self,
        method: &Method,
        route: &str,
        status: Option<StatusCode>,
        elapsed: Duration,
    ) {
        let method = method_label(method);
        self.in_flight.dec();
        let status = status.unwrap_or(CLIENT_LEFT);
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.duration.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }
}

/// The registry in Prometheus' text format.
pub fn render(registry: &Registry) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

pub(crate) const CLIENT_LEFT: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Events, out and in.
#[derive(Debug, Clone)]
pub struct EventMetrics {
    pub(crate) published: IntCounter,
    pub(crate) relay_failures: IntCounter,
    consumed: IntCounterVec,
}

impl EventMetrics {
    /// Fails if the registry holds metrics of these names already.
    pub fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let published =
            IntCounter::new("shop_events_published_total", "Events given to the broker")?;
        let relay_failures = IntCounter::new(
            "shop_outbox_failures_total",
            "Times that the outbox could not be sent on and waits",
        )?;
        let consumed = IntCounterVec::new(
            Opts::new("shop_events_consumed_total", "Deliveries of events, by what became of them"),
            &["outcome", "group"],
        )?;
        registry.register(Box::new(published.clone()))?;
        registry.register(Box::new(relay_failures.clone()))?;
        registry.register(Box::new(consumed.clone()))?;
        Ok(Self { published, relay_failures, consumed })
    }

    pub(crate) fn consumed(&self, group: &'static str, outcome: Outcome) {
        self.consumed.with_label_values(&[outcome.label(), group]).inc();
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Handled,
    /// It was handled before.
    Known,
    /// It comes again.
    Again,
    Dead,
}

impl Outcome {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Known => "known",
            Self::Again => "again",
            Self::Dead => "dead",
        }
    }
}

/// gRPC calls, counted once each.
#[derive(Debug, Clone)]
pub(crate) struct GrpcMetrics {
    calls: IntCounterVec,
    duration: HistogramVec,
}

impl GrpcMetrics {
    pub(crate) fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let calls = IntCounterVec::new(
            Opts::new("shop_grpc_calls_total", "gRPC calls, by method and status code"),
            // In this order no two pairs are the same text end to end: see above.
            &["code", "method"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new("shop_grpc_call_duration_seconds", "Time from a call to its status")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["method"],
        )?;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self { calls, duration })
    }

    /// `method` is one that is served, or `unmatched`; `code` is gRPC's number.
    pub(crate) fn end(&self, method: &str, code: &str, elapsed: Duration) {
        self.calls.with_label_values(&[code, method]).inc();
        self.duration.with_label_values(&[method]).observe(elapsed.as_secs_f64());
    }
}
