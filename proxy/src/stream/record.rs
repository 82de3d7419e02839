//! What is known of one connection, and the one record left of it.
//!
//! The record is written on drop, whichever way the connection ends. It holds nothing of a
//! configuration generation but the route.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use crate::client::Client;
use crate::error::Reason;
use crate::observe::access_log::{TlsRecord, TunnelRecord};
use crate::observe::series::RequestOutcome;
use crate::policy::request_id::RequestId;
use crate::relay::tunnel::Counters;
use crate::snapshot::stream::StreamRoute;
use crate::upstream::local::LocalEndpoint;
use crate::worker::Worker;

pub(super) struct TunnelFacts {
    pub(super) worker: Rc<Worker>,
    pub(super) client: Rc<Client>,
    id: RequestId,
    /// Of the configuration that decided.
    generation: u64,
    /// The name that the client asked for in a handshake that is passed on.
    pub(super) name: Option<String>,
    pub(super) route: Option<Arc<StreamRoute>>,
    pub(super) endpoint: Option<Rc<LocalEndpoint>>,
    /// The upstream that was chosen, where no endpoint of it was tried.
    pub(super) upstream: Option<Box<str>>,
    /// What happened, for the log.
    pub(super) detail: Option<Cow<'static, str>>,
    pub(super) attempts: u32,
    /// When the upstream's connection stood.
    pub(super) connected: Option<Instant>,
    pub(super) counters: Counters,
    /// `None` until it has ended.
    ended: Option<Ended>,
}

struct Ended {
    reason: Option<Reason>,
}

impl TunnelFacts {
    pub(super) fn begin(worker: Rc<Worker>, client: Rc<Client>, generation: u64) -> Self {
        Self {
            id: RequestId::from_random(worker.random_128()),
            worker,
            client,
            generation,
            name: None,
            route: None,
            endpoint: None,
            upstream: None,
            detail: None,
            attempts: 0,
            connected: None,
            counters: Counters::default(),
            ended: None,
        }
    }

    /// Ends it; `None` when it simply passed.
    pub(super) fn end(mut self, reason: Option<Reason>) {
        self.ended = Some(Ended { reason });
    }
}

impl Drop for TunnelFacts {
    fn drop(&mut self) {
        let reason = match &self.ended {
            Some(ended) => ended.reason,
            None if std::thread::panicking() => Some(Reason::Internal),
            // Only the end of the process drops a connection that is open.
            None => Some(Reason::Draining),
        };
        let finished = Instant::now();
        let duration = finished.saturating_duration_since(self.client.accepted);
        let snapshot = Arc::clone(&self.worker.current().snapshot);
        let metrics = self.route.as_ref().map_or(&snapshot.unrouted, |route| &route.metrics);
        let (received, sent) = (self.counters.from_client.get(), self.counters.from_upstream.get());
        metrics.record(
            self.worker.id(),
            &RequestOutcome {
                status: 0,
                reason,
                duration: None,
                request_body_bytes: received,
                response_body_bytes: sent,
            },
        );
        let tls = self.client.tls.as_ref();
        let sni = self.name.as_deref().or(tls.and_then(|tls| tls.sni.as_deref()));
        let since_accept = |at: Instant| at.saturating_duration_since(self.client.accepted);
        let record = TunnelRecord {
            connection_id: self.id.as_bytes(),
            generation: self.generation,
            listener: &self.client.listener_name,
            client: self.client.peer.socket(),
            tls: tls.map(|tls| TlsRecord { version: tls.version, sni: None }),
            sni,
            route: self.route.as_ref().map(|route| &*route.name),
            upstream: match &self.endpoint {
                Some(endpoint) => Some(&*endpoint.upstream),
                None => self.upstream.as_deref(),
            },
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.metrics.address()),
            attempts: self.attempts,
            reason,
            detail: self.detail.as_deref().filter(|_| reason.is_some()),
            received_bytes: received,
            sent_bytes: sent,
            accepted: self.client.accepted.into_std(),
            duration,
            connected: self.connected.map(since_accept),
        };
        self.worker.log().tunnel(&snapshot.log_format, self.worker.clock(), &record);
    }
}
