//! The one record of an exchange, in the counters and in the access log.

use tokio::time::Instant;

use super::Exchange;
use super::view::RecordContext;
use crate::error::Reason;
use crate::message::RequestHead;
use crate::observe::access_log::{Record, TlsRecord};
use crate::observe::series::RequestOutcome;
use crate::observe::timeline::Stage;

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.record();
    }
}

impl Exchange<'_> {
    /// Writes the record now, before the next request reuses the buffer with the head.
    pub fn record(&mut self) {
        if std::mem::replace(&mut self.recorded, true) {
            return;
        }
        let finished = self.finished.unwrap_or_else(Instant::now);
        self.client.quiet_since.set(finished);
        if std::thread::panicking() {
            self.reason = Some(Reason::Internal);
        } else if !self.handled && self.reason.is_none() {
            // Only the end of the process drops a request that is being handled.
            self.reason = Some(Reason::Draining);
            self.note("it was under way when shutdown.drainTimeout was over");
            if !self.download.begun.get() {
                self.status = 0;
            }
        } else if self.client.deadline.is_cut() && self.reason == Some(Reason::ClientAborted) {
            // Its connection was cut under it.
            self.reason = Some(Reason::MemoryLimit);
        }
        self.timeline.mark(Stage::LastByte, finished.into_std());
        let readable = RequestHead { bytes: &self.scratch.head, parts: &self.scratch.request };
        let head = self.request();
        let named = head.or(self.refused.then_some(readable));
        let RecordContext { generation, route, metrics, listener, log_format } =
            self.view.seen(self.route, self.client.listener.id);
        let its_own = matches!(self.reason, None | Some(Reason::ClientAborted));
        let left = (self.client_closed && its_own)
            .then_some("the client closed its side of the connection before the response");
        let response_body_bytes = self.download.body.get() + self.own_body;
        let duration = finished.into_std().saturating_duration_since(self.timeline.started());
        metrics.record(
            self.worker.id(),
            &RequestOutcome {
                status: self.status,
                reason: self.reason,
                duration: (!self.is_tunnel).then_some(duration),
                request_body_bytes: self.upload.body.get(),
                response_body_bytes,
            },
        );
        if let Some(listener) = listener {
            listener.of(self.worker.id()).requests.increment();
        }
        let tls = self.client.tls.as_ref();
        let record = Record {
            request_id: self.request_id.as_bytes(),
            generation,
            listener: &self.client.listener_name,
            trace_id: self.provenance.trace.as_ref().map(|trace| trace.id()),
            forwarded_for: self.provenance.forwarded_for,
            peer: self.client.peer.socket(),
            tls: tls.map(|tls| TlsRecord { version: tls.version, sni: tls.sni.as_deref() }),
            connection_request: self.number.into(),
            method: named.map_or(b"", |head| head.method()),
            host: named.map_or(b"", |head| head.authority()),
            path: named.map_or(b"", |head| head.path()),
            normalized_path: self.scratch.decide.normalised_path().filter(|_| head.is_some()),
            query: named.and_then(|head| head.query()),
            upgrade: self.handshake.is_some(),
            version: named.map_or_else(Default::default, |head| head.parts.version),
            route,
            upstream: match &self.endpoint {
                Some(endpoint) => Some(&*endpoint.upstream),
                None => self.upstream.as_deref(),
            },
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.metrics.address()),
            attempts: self.attempts,
            status: self.status,
            answered_by: self.answered_by.filter(|_| self.status != 0),
            reason: self.reason,
            detail: self.detail.as_deref().or(left),
            grpc_status: self.grpc_status,
            request_body_bytes: self.upload.body.get(),
            response_body_bytes,
            timeline: &self.timeline,
            duration,
            headers: head.map(|head| head.fields()),
        };
        self.worker.log().record(log_format, self.worker.clock(), &record);
    }
}
