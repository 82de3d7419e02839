//! The published snapshot as one worker sees it, with the state that this worker adds.

use std::rc::Rc;
use std::sync::Arc;

use super::stream_route::LocalRoute;
use crate::observe::counter::WorkerId;
use crate::observe::metrics::Metrics;
use crate::snapshot::stream::StreamListener;
use crate::snapshot::{HttpListener, LiveListener, Snapshot};
use crate::sockets::ListenerId;
use crate::upstream::local::LocalUpstream;

/// The published snapshot with this worker's share of its state.
pub struct Current {
    pub snapshot: Arc<Snapshot>,
    /// By upstream index, like the snapshot's.
    pub upstreams: Vec<Rc<LocalUpstream>>,
    /// By their index in the snapshot.
    pub stream_routes: Vec<Rc<LocalRoute>>,
}

impl Current {
    /// The http listener; `None` if this generation does not have it.
    pub fn listener(&self, id: ListenerId) -> Option<&Arc<HttpListener>> {
        self.snapshot.listeners.iter().find(|listener| listener.id == id)
    }

    /// The listener whose connections become tunnels; `None` if this generation does not have it.
    pub fn stream(&self, id: ListenerId) -> Option<&Arc<StreamListener>> {
        self.snapshot.streams.iter().find(|listener| listener.id == id)
    }

    /// The listener of either kind.
    pub fn live(&self, id: ListenerId) -> Option<LiveListener> {
        let http = self.listener(id).map(|listener| LiveListener::Http(Arc::clone(listener)));
        http.or_else(|| self.stream(id).map(|listener| LiveListener::Stream(Arc::clone(listener))))
    }
}

/// Builds a worker's view of a snapshot.
pub(super) struct CurrentBuilder<'a> {
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) worker: WorkerId,
}

impl CurrentBuilder<'_> {
    /// An upstream that `previous` has by the same name keeps its pools and its balancer's state.
    pub(super) fn build(
        &self,
        snapshot: Arc<Snapshot>,
        previous: Option<&Current>,
        random: &mut fastrand::Rng,
    ) -> Current {
        let known: std::collections::HashMap<_, _> = previous
            .into_iter()
            .flat_map(|previous| &previous.upstreams)
            .map(|local| (&local.live.name, local))
            .collect();
        let upstreams = snapshot.upstreams.iter().map(|live| {
            let live = Arc::clone(live);
            Rc::new(match known.get(&live.name) {
                Some(local) => local.succeed(live),
                None => {
                    LocalUpstream::new(live, Arc::clone(self.metrics), self.worker, random.u64(..))
                }
            })
        });
        let upstreams = upstreams.collect();
        let known = previous.map_or(&[][..], |previous| &previous.stream_routes);
        let stream_routes = LocalRoute::succeed(known, &snapshot.stream_routes);
        Current { snapshot, upstreams, stream_routes }
    }
}
