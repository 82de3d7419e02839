//! The status listener, open to any client: liveness, readiness and metrics.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router, extract::State};
use serde_json::json;

use super::answer::TextAnswer;
use super::api::{bounds, closed};
use super::problem::Problem;
use super::shared::Shared;
use crate::observe::exposition;

/// What a status listener answers; nothing in it changes anything.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    bounds(closed(endpoints())).with_state(shared)
}

pub(super) fn endpoints() -> Router<Arc<Shared>> {
    Router::new()
        .route("/livez", get(async || Json(json!({"alive": true}))))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, Json<serde_json::Value>) {
    let generation = shared.published.load().generation;
    let reason = match (shared.metrics.is_draining(), generation) {
        (true, _) => "draining",
        (false, 0) => "no configuration serves yet",
        (false, _) => {
            return (StatusCode::OK, Json(json!({"ready": true, "generation": generation})));
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "reason": reason})))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let make = |shared: &Shared| match exposition(&shared.registry) {
        Ok(text) => Ok(TextAnswer { kind: prometheus::TEXT_FORMAT, text }),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            Err(Problem::internal())
        }
    };
    shared.view(make).await
}
