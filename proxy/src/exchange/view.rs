//! The configuration as an exchange sees it: first its whole generation, later what its record needs.

use std::rc::Rc;
use std::sync::Arc;

use crate::observe::access_log::LogFormat;
use crate::observe::series::{ListenerMetrics, RouteMetrics};
use crate::route::RouteId;
use crate::sockets::ListenerId;
use crate::worker::Current;

/// The configuration as an exchange sees it.
pub(super) enum View {
    /// Until the plan is made and the response has begun.
    Whole(Rc<Current>),
    /// Afterwards: only what the record needs, so that an old generation can be freed.
    Rest(Box<OwnedRecordContext>),
}

pub(super) struct OwnedRecordContext {
    generation: u64,
    route: Option<String>,
    metrics: Arc<RouteMetrics>,
    listener: Option<Arc<ListenerMetrics>>,
    log_format: LogFormat,
}

/// What a record needs of the configuration, borrowed.
pub(super) struct RecordContext<'a> {
    pub(super) generation: u64,
    pub(super) route: Option<&'a str>,
    pub(super) metrics: &'a Arc<RouteMetrics>,
    pub(super) listener: Option<&'a Arc<ListenerMetrics>>,
    pub(super) log_format: &'a LogFormat,
}

impl View {
    /// Releases the generation.
    pub(super) fn settle(&mut self, route: Option<RouteId>, listener: ListenerId) {
        if let Self::Whole(current) = self {
            let seen = RecordContext::of(current, route, listener);
            let rest = OwnedRecordContext {
                generation: seen.generation,
                route: seen.route.map(str::to_owned),
                metrics: Arc::clone(seen.metrics),
                listener: seen.listener.map(Arc::clone),
                log_format: seen.log_format.clone(),
            };
            *self = Self::Rest(Box::new(rest));
        }
    }

    pub(super) fn seen(&self, route: Option<RouteId>, listener: ListenerId) -> RecordContext<'_> {
        match self {
            Self::Whole(current) => RecordContext::of(current, route, listener),
            Self::Rest(rest) => rest.seen(),
        }
    }
}

impl<'a> RecordContext<'a> {
    fn of(current: &'a Current, route: Option<RouteId>, listener: ListenerId) -> Self {
        let snapshot = &current.snapshot;
        let metrics = route.and_then(|id| snapshot.route_metrics.get(id.0));
        let route = route.and_then(|id| snapshot.routes.get(id.0));
        Self {
            generation: snapshot.generation,
            route: route.map(|route| route.name.as_str()),
            metrics: metrics.unwrap_or(&snapshot.unrouted),
            listener: current.listener(listener).map(|listener| &listener.metrics),
            log_format: &snapshot.log_format,
        }
    }
}

impl OwnedRecordContext {
    fn seen(&self) -> RecordContext<'_> {
        RecordContext {
            generation: self.generation,
            route: self.route.as_deref(),
            metrics: &self.metrics,
            listener: self.listener.as_ref(),
            log_format: &self.log_format,
        }
    }
}
