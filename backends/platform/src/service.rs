//! A service assembled: its own routes, and around them what every service has.
//!
//! `/healthz` says that the process runs, `/readyz` that its database and its broker answer,
//! `/metrics` counts, `/openapi.json` describes. Around every route, from the outside in: the
//! record and the request's identity, the answer to panics, the timeout, the body limit.

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_core::future::BoxFuture;
use prometheus::Registry;
use tower_http::catch_panic::CatchPanicLayer;

use crate::broker::{Broker, Policy};
use crate::clock::{Clock, SystemClock};
use crate::consumer::Consumer;
use crate::database::Database;
use crate::grpc::Grpc;
use crate::metrics::{self, GrpcMetrics, HttpMetrics};
use crate::panics::panic_text;
use crate::problem::Problem;
use crate::readiness::{self, Readiness};
use crate::server::{self, Bound, Protocol, Shutdown, StartError};
use crate::settings::ServerOptions;

mod background;
mod observe;
mod run;

use background::Background;
use run::Running;

/// What makes up a service. Its metrics are in `registry` already.
pub struct Service {
    pub name: &'static str,
    pub routes: Router,
    pub database: Database,
    pub registry: Registry,
    /// Served at `/openapi.json`.
    pub openapi: Option<utoipa::openapi::OpenApi>,
    /// Where to listen for gRPC, and what to answer there.
    pub grpc: Option<(SocketAddr, Grpc)>,
    /// Where the events of the outbox go and those of the consumers come from.
    pub broker: Option<Broker>,
    pub consumers: Vec<Consumer>,
    /// How events are delivered to the consumers.
    pub policy: Policy,
    pub tasks: Vec<Task>,
    /// What the inbox reads the time from.
    pub clock: Arc<dyn Clock>,
}

/// Work that goes on beside the requests: what drives a process, what expires things. It is
/// dropped at the shutdown, at whatever it waits for, so that its steps must survive a crash.
pub struct Task {
    pub name: &'static str,
    pub run: BoxFuture<'static, Infallible>,
}

impl Service {
    /// A service of nothing but routes; the rest is set by hand.
    pub fn new(name: &'static str, routes: Router, database: Database, registry: Registry) -> Self {
        Self {
            name,
            routes,
            database,
            registry,
            openapi: None,
            grpc: None,
            broker: None,
            consumers: Vec::new(),
            policy: Policy::default(),
            tasks: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The whole application, ready to be called without a socket. What runs beside the requests
    /// does not run.
    pub fn router(self, options: &ServerOptions) -> Result<Router, StartError> {
        let readiness = Readiness::new(self.database.clone(), self.broker.clone());
        self.router_with(options, readiness)
    }

    fn router_with(
        self,
        options: &ServerOptions,
        readiness: Readiness,
    ) -> Result<Router, StartError> {
        let metrics = Arc::new(HttpMetrics::try_new(&self.registry)?);
        let mut health = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readiness::ready).with_state(readiness))
            .route("/metrics", get(scrape).with_state(self.registry));
        if let Some(openapi) = &self.openapi {
            let failed =
                |source| StartError::Prepare { what: "the description of the API", source };
            let text = serde_json::to_vec(openapi).map_err(|error| failed(error.into()))?;
            let answer = ([(CONTENT_TYPE, "application/json")], Bytes::from(text));
            health = health.route("/openapi.json", get(|| async { answer }));
        }
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
            .layer(from_fn_with_state(metrics, observe::observe)))
    }

    /// Binds `listen`, and the gRPC address if there is one; once `run` is polled, requests are
    /// served, events are sent and consumed, and tasks run.
    ///
    /// After the shutdown, in this order: no connection is accepted, requests finish, consumers
    /// and tasks stop, what is in the outbox is sent, broker and database are closed. All of it
    /// takes the drain's time at most, and a second.
    pub async fn bind(
        mut self,
        listen: SocketAddr,
        options: &ServerOptions,
        shutdown: Shutdown,
    ) -> Result<Bound, StartError> {
        let (name, database, broker) = (self.name, self.database.clone(), self.broker.clone());
        let readiness = Readiness::new(database.clone(), broker.clone());
        let background = Background::prepare(&mut self, readiness.clone())?;
        let grpc = match self.grpc.take() {
            Some((address, grpc)) => {
                let metrics = Arc::new(GrpcMetrics::try_new(&self.registry)?);
                let app = grpc.router(metrics, options, readiness.clone())?;
                Some(server::listen(app, Protocol::http2(), address, options).await?)
            }
            None => None,
        };
        let app = self.router_with(options, readiness)?;
        let http = server::listen(app, Protocol::http1(options), listen, options).await?;
        let (address, grpc_address) = (http.address, grpc.as_ref().map(|grpc| grpc.address));
        let drain = options.drain_timeout;
        let running = Running { name, http, grpc, background, broker, database, drain };
        Ok(Bound { address, grpc: grpc_address, run: Box::pin(running.run(shutdown)) })
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
    tracing::error!(panic = panic_text(&*panic), "a request's handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests;
