//! A service assembled: its own routes, and around them what every service has.
//!
//! `/healthz` says that the process runs, `/readyz` that its database answers, `/metrics` counts.
//! Around every route, from the outside in: the record and the request's identity, the answer to
//! panics, the timeout, the body limit.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Registry;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::database::Database;
use crate::metrics::{self, CLIENT_LEFT, HttpMetrics};
use crate::problem::Problem;
use crate::request::RequestContext;
use crate::server::{self, Bound, Shutdown, StartError};
use crate::settings::ServerOptions;

/// Routes for probes and scrapers: logged only when someone debugs.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What makes up a service. Its metrics are in `registry` already.
pub struct Service {
    pub name: &'static str,
    pub routes: Router,
    pub database: Database,
    pub registry: Registry,
}

impl Service {
    /// The whole application, ready to be called without a socket.
    pub fn router(self, options: &ServerOptions) -> Result<Router, StartError> {
        let metrics = Arc::new(HttpMetrics::try_new(&self.registry)?);
        let health = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready).with_state(self.database))
            .route("/metrics", get(scrape).with_state(self.registry));
        let timeout = options.request_timeout;
        Ok(self
            .routes
            .merge(health)
            .fallback(|| async { Problem::not_found() })
            .method_not_allowed_fallback(|| async {
                Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method-not-allowed",
                    "The resource does not have this method",
                )
            })
            .layer(DefaultBodyLimit::max(options.body_limit))
            .layer(from_fn(move |request, next| limit_time(timeout, request, next)))
            .layer(CatchPanicLayer::custom(answer_panic))
            .layer(from_fn_with_state(metrics, observe)))
    }

    /// Binds `listen`; the database is closed after the last connection.
    pub async fn bind(
        self,
        listen: SocketAddr,
        options: &ServerOptions,
        shutdown: Shutdown,
    ) -> Result<Bound, StartError> {
        let (name, database) = (self.name, self.database.clone());
        let app = self.router(options)?;
        let Bound { address, run } = server::bind(app, listen, options, shutdown).await?;
        let run = async move {
            tracing::info!(service = name, %address, "serving");
            let drained = run.await;
            database.close().await;
            tracing::info!(service = name, cut = drained.cut, "stopped");
            drained
        };
        Ok(Bound { address, run: Box::pin(run) })
    }
}

async fn ready(State(database): State<Database>) -> Response {
    match database.check().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The service is not ready")
                .into_response()
        }
    }
}

async fn scrape(State(registry): State<Registry>) -> Response {
    match metrics::render(&registry) {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            Problem::internal().into_response()
        }
    }
}

async fn limit_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "timeout", "The request took too long").into_response()
        }
    }
}

fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("not a text"), "a request's handler panicked");
    Problem::internal().into_response()
}

/// Gives the request its identity and leaves exactly one record of it.
async fn observe(
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

#[cfg(test)]
mod tests;
