//! Whether a service can do its work: asked by probes, told by gRPC's health service.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::broker::Broker;
use crate::database::Database;
use crate::problem::Problem;

/// What does not answer by then does not answer.
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Readiness {
    database: Database,
    broker: Option<Broker>,
    /// What runs beside the requests does run.
    whole: Arc<AtomicBool>,
}

impl Readiness {
    pub(crate) fn new(database: Database, broker: Option<Broker>) -> Self {
        Self { database, broker, whole: Arc::new(AtomicBool::new(true)) }
    }

    /// Something that shall run for ever has ended: a new start is needed.
    pub(crate) fn broken(&self) {
        self.whole.store(false, Ordering::Relaxed);
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let broker = async {
            match &self.broker {
                Some(broker) => answers("broker", Box::pin(broker.check())).await,
                None => true,
            }
        };
        let (database, broker) = tokio::join!(answers("database", self.database.check()), broker);
        database && broker && self.whole.load(Ordering::Relaxed)
    }
}

async fn answers<E: std::fmt::Display>(
    what: &'static str,
    check: impl Future<Output = Result<(), E>>,
) -> bool {
    match tokio::time::timeout(LIMIT, check).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(what, %error, "the service is not ready");
            false
        }
        Err(_) => {
            tracing::warn!(what, "the service is not ready: no answer in time");
            false
        }
    }
}

pub(crate) async fn ready(State(readiness): State<Readiness>) -> Response {
    if readiness.is_ready().await {
        return "ready\n".into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The service is not ready")
        .into_response()
}
