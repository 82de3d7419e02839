//! What the answers are made from.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::response::Response;
use portcullis_config::model::ListenAddress;
use prometheus::Registry;
use tokio::sync::Semaphore;

use super::answer::TextAnswer;
use super::handle::Handle;
use super::problem::Problem;
use crate::observe::metrics::Metrics;
use crate::snapshot::Snapshot;

/// Views that are made or sent at a time: each may hold megabytes when there are thousands of
/// routes.
const VIEWS: usize = 8;

/// What every status and admin listener reads, and the way to the control loop.
pub struct Shared {
    pub(super) published: Arc<ArcSwap<Snapshot>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) registry: Registry,
    pub(super) control: Handle,
    /// Where everything is bound, by name.
    bound: ArcSwap<Vec<(String, ListenAddress)>>,
    pub(super) started: SystemTime,
    since: Instant,
    views: Arc<Semaphore>,
}

impl Shared {
    pub fn new(
        published: Arc<ArcSwap<Snapshot>>,
        metrics: Arc<Metrics>,
        registry: Registry,
        control: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            published,
            metrics,
            registry,
            control,
            bound: ArcSwap::default(),
            started: SystemTime::now(),
            since: Instant::now(),
            views: Arc::new(Semaphore::new(VIEWS)),
        })
    }

    /// Takes note of where everything is bound from now on.
    pub fn set_bound(&self, bound: Vec<(String, ListenAddress)>) {
        self.bound.store(Arc::new(bound));
    }

    pub(super) fn bound(&self) -> Arc<Vec<(String, ListenAddress)>> {
        self.bound.load_full()
    }

    pub(super) fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    /// Makes an answer off the control thread, for it may take milliseconds.
    pub(super) async fn view(
        self: Arc<Self>,
        make: impl FnOnce(&Self) -> Result<TextAnswer, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let turn = Arc::clone(&self.views).acquire_owned().await;
        let turn = turn.map_err(|_| Problem::ending())?;
        // The work holds the turn, also if the caller stops waiting.
        let work = tokio::task::spawn_blocking(move || {
            make(&self).map(|answer| answer.into_response(turn))
        });
        work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an answer of the admin API could not be made");
            Err(Problem::internal())
        })
    }

    #[cfg(test)]
    pub(super) fn turns(&self) -> usize {
        self.views.available_permits()
    }
}
