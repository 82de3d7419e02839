//! The metrics that every service has: its requests, by route template, method and status.
//!
//! Labels come from closed sets: the routes that are mounted, the methods of RFC 9110, the status
//! codes. Nothing that a client makes up becomes a label.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

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
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
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
