//! The admin API: its paths, and the bounds of every request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::answer::TextAnswer;
use super::guard::{AdminTransport, authorized, same_site};
use super::handle::LastReload;
use super::problem::Problem;
use super::shared::Shared;
use super::{page, status, view};

/// No request has anything to say in its body; this much is read for politeness.
const BODY_BYTES: usize = 4 * 1024;
/// For every request but a reload.
const REQUEST: Duration = Duration::from_secs(10);
/// A reload may read thousands of files and wait behind another one.
const RELOAD: Duration = Duration::from_secs(60);

/// What the admin listener answers.
pub(super) fn router(shared: Arc<Shared>, transport: AdminTransport) -> Router {
    let changes = Router::new()
        .route("/reload", post(reload))
        .route("/drain", post(drain))
        .route_layer(middleware::from_fn_with_state((transport, Arc::clone(&shared)), authorized));
    let views = Router::new()
        .route("/version", show(view::version))
        .route("/config", show(view::config))
        .route("/listeners", show(view::listeners))
        .route("/routes", show(view::routes))
        .route("/upstreams", show(view::upstreams))
        .route("/certificates", show(view::certificates));
    let all = views.merge(changes).merge(page::endpoints()).merge(status::endpoints());
    let guarded = closed(all).layer(middleware::from_fn_with_state(transport, same_site));
    bounds(guarded).with_state(shared)
}

/// Problems for whatever the router does not know.
pub(super) fn closed(router: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
}

/// The bounds of a request, and the fields of every answer.
pub(super) fn bounds(router: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
    router.layer(middleware::from_fn(bounded))
}

async fn bounded(request: Request, next: Next) -> Response {
    let patience = if request.uri().path() == "/reload" { RELOAD } else { REQUEST };
    let answer = async {
        let (head, body) = request.into_parts();
        // Taken in before anything is decided, so that the connection can be used again.
        match axum::body::to_bytes(body, BODY_BYTES).await {
            Ok(body) => next.run(Request::from_parts(head, body.into())).await,
            Err(_) => {
                let problem =
                    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "no request here needs a body");
                problem.into_response()
            }
        }
    };
    let mut response = match timeout(patience, answer).await {
        Ok(response) => response,
        Err(_) => {
            let late = "it takes longer than this connection waits; what was asked goes on";
            Problem::new(StatusCode::GATEWAY_TIMEOUT, late).into_response()
        }
    };
    const FIELDS: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Shows one view.
fn show(view: fn(&Shared) -> Value) -> MethodRouter<Arc<Shared>> {
    get(async move |State(shared): State<Arc<Shared>>| {
        shared.view(move |shared| Ok(TextAnswer::json(&view(shared)))).await
    })
}

/// 200 when all that was read serves, 409 when files keep their last good version beside a new
/// generation, 422 when the old generation serves on.
async fn reload(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    tracing::info!("the admin API asks for a reload");
    let last = shared.control.reload().await.map_err(|_| Problem::ending())?;
    let LastReload { generation, problems, stale, refused } = last;
    if problems.is_empty() && !refused {
        return Ok(Json(json!({"generation": generation})).into_response());
    }
    let problem = if refused {
        let detail = "the configuration cannot be used; the last good generation serves on";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    } else {
        let detail = "a new generation serves, but some files keep their last good version";
        Problem::new(StatusCode::CONFLICT, detail)
    };
    Err(problem
        .with("generation", generation)
        .with("report", problems)
        .with("stale", view::paths(&stale)))
}

async fn drain(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    tracing::info!("the admin API asks for a drain");
    shared.control.drain().await.map_err(|_| Problem::ending())?;
    Ok((StatusCode::ACCEPTED, Json(json!({"draining": true}))).into_response())
}
