//! One request's facts as they come to be known, and the one record that is left of it.
//!
//! The record is written when the exchange is dropped, so it exists whichever way the request
//! ended: answered, refused, cancelled or by a panic.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use portcullis_config::model::Trust;
use tokio::time::Instant;

use crate::buffer::{Buffer, HeadBuffer};
use crate::cause::Cause;
use crate::connection::Client;
use crate::deadline::Deadline;
use crate::drain::Registration;
use crate::error::Reason;
use crate::memory::YoungOne;
use crate::message::{PartialHead, RequestHead};
use crate::observe::access_log::{Answerer, LogFormat, Record, TlsFacts};
use crate::observe::things::{ListenerMetrics, RequestOutcome, RouteMetrics};
use crate::observe::timeline::{Stage, Timeline};
use crate::policy::grpc::Call;
use crate::policy::provenance::{Peer, Provenance};
use crate::policy::request_id::RequestId;
use crate::relay::reader::Http2Body;
use crate::relay::request::UploadCounters;
use crate::relay::response::DownloadCounters;
use crate::route::RouteId;
use crate::scratch::{Parts, Scratch};
use crate::sockets::ListenerId;
use crate::upstream::local::LocalEndpoint;
use crate::websocket::handshake::Handshake;
use crate::worker::{Current, Worker};

/// Everything that one request has of its own.
pub struct Exchange<'c> {
    pub worker: &'c Worker,
    pub client: &'c Client,
    /// The one timer of the exchange.
    pub deadline: &'c Deadline,
    /// The client's end, by protocol.
    pub end: RefCell<ClientEnd>,
    view: View,
    pub scratch: Scratch,
    /// Holds the head of HTTP/1 from the moment it is complete, and its body while it comes.
    pub head: Option<HeadBuffer>,
    /// The head stands in `scratch.head`: it came by HTTP/2, or its buffer was given back.
    pub head_apart: bool,
    pub request_id: RequestId,
    pub provenance: Provenance,
    pub timeline: Timeline,
    pub route: Option<RouteId>,
    pub endpoint: Option<Rc<LocalEndpoint>>,
    pub attempts: u32,
    pub status: u16,
    pub reason: Option<Reason>,
    /// Which rule or event is behind the reason, for the log alone.
    detail: Option<Cow<'static, str>>,
    pub answered_by: Option<Answerer>,
    /// The name of an upstream that was chosen and no endpoint of it.
    pub upstream: Option<Box<str>>,
    /// The request is a call of gRPC.
    pub call: Option<Call>,
    /// What it was answered with.
    pub grpc_status: Option<u32>,
    /// What the upstream said when it reset the stream of this request.
    pub upstream_reset: Option<h2::Reason>,
    pub upload: UploadCounters,
    pub download: DownloadCounters,
    /// Body bytes of a response that the proxy made.
    pub own_body: u64,
    /// Which request of its connection, from one.
    number: u32,
    recorded: bool,
    /// Its handler ran to its end; else the exchange was dropped before that.
    pub handled: bool,
    /// The head was refused; `scratch.request` and `scratch.head` name what of it could be read.
    refused: bool,
    /// It has just begun, and may yet take what memory a request takes.
    _young: YoungOne<'c>,
    /// Something was heard of the client since it sent its request.
    pub client_spoke: bool,
    /// It closed its side of the connection before the response.
    pub client_closed: bool,
    /// The upstream has switched.
    is_tunnel: bool,
    /// It asks for a WebSocket, and may.
    pub handshake: Option<Handshake>,
    /// The end, where somebody has read the clock for it already.
    pub finished: Option<Instant>,
}

/// What the client's protocol gives an exchange besides its connection.
pub enum ClientEnd {
    /// The connection itself carries the exchange, alone.
    Http1,
    /// A stream of its own.
    Http2 { respond: Option<SendResponse<Bytes>>, body: Option<Box<Http2Body>> },
}

/// What an exchange sees of the configuration.
enum View {
    /// Until its plan is made and its response has begun.
    Whole(Rc<Current>),
    /// Afterwards: what its record needs, so that an old generation can go.
    Rest(Box<Rest>),
}

struct Rest {
    generation: u64,
    route: Option<String>,
    metrics: Arc<RouteMetrics>,
    listener: Option<Arc<ListenerMetrics>>,
    log_format: LogFormat,
}

/// What a record needs of the configuration, lent by whoever has it.
struct Seen<'a> {
    generation: u64,
    route: Option<&'a str>,
    metrics: &'a Arc<RouteMetrics>,
    listener: Option<&'a Arc<ListenerMetrics>>,
    log_format: &'a LogFormat,
}

impl<'a> Seen<'a> {
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

impl Rest {
    fn seen(&self) -> Seen<'_> {
        Seen {
            generation: self.generation,
            route: self.route.as_deref(),
            metrics: &self.metrics,
            listener: self.listener.as_ref(),
            log_format: &self.log_format,
        }
    }
}

impl<'c> Exchange<'c> {
    pub fn begin(
        worker: &'c Worker,
        client: &'c Client,
        deadline: &'c Deadline,
        end: ClientEnd,
        served: u32,
    ) -> Self {
        let now = Instant::now();
        let timeline = if served == 0 {
            let mut timeline = Timeline::of_connection(client.accepted.into_std());
            if client.tls.is_some() {
                timeline.mark(Stage::Tls, (client.accepted + client.handshake).into_std());
            }
            timeline.mark(Stage::Start, now.into_std());
            timeline
        } else {
            Timeline::of_request(now.into_std())
        };
        Self {
            worker,
            client,
            deadline,
            end: RefCell::new(end),
            view: View::Whole(worker.current_of(&client.listener)),
            scratch: worker.scratch(),
            head: None,
            head_apart: false,
            request_id: RequestId::from_random(worker.random_128()),
            provenance: Provenance::default(),
            timeline,
            route: None,
            endpoint: None,
            attempts: 0,
            status: 0,
            reason: None,
            detail: None,
            answered_by: None,
            upstream: None,
            call: None,
            grpc_status: None,
            upstream_reset: None,
            upload: UploadCounters::default(),
            download: DownloadCounters::default(),
            own_body: 0,
            number: served + 1,
            recorded: false,
            handled: false,
            refused: false,
            _young: worker.young(),
            client_spoke: false,
            client_closed: false,
            is_tunnel: false,
            handshake: None,
            finished: None,
        }
    }

    /// Learns from the head where the request comes from, as far as its peer is believed.
    pub fn learn_provenance(&mut self, trust: &Trust) {
        let Some(head) = self.request() else { return };
        let peer = Peer {
            address: self.client.address.map(|address| address.ip()),
            tls: self.client.tls.is_some(),
        };
        let worker = self.worker;
        let ids = || (worker.random_128(), worker.random());
        let trust = self.client.trust_left(trust);
        let provenance = Provenance::judge(&head, &trust, peer, ids);
        let given = provenance.request_id(&head);
        self.provenance = provenance;
        if let Some(given) = given {
            self.request_id = given;
        }
    }

    /// Says why it does not simply pass.
    pub fn blame(&mut self, cause: Cause) {
        self.reason = Some(cause.reason);
        if let Some(rule) = cause.rule {
            self.detail = Some(Cow::Borrowed(rule.text()));
        }
    }

    /// Says what happened; what was said before is forgotten.
    pub fn note(&mut self, detail: impl Into<Cow<'static, str>>) {
        self.detail = Some(detail.into());
    }

    /// Adds to what was said.
    pub fn note_more(&mut self, more: &'static str) {
        if let Some(detail) = &mut self.detail {
            detail.to_mut().push_str(more);
        }
    }

    /// Another attempt begins: what became of the one before is not what the request ends by.
    pub fn forget_note(&mut self) {
        self.detail = None;
    }

    /// The head was refused: keeps what of it the log can name.
    pub fn keep_refused(&mut self, head: &PartialHead<'_>) {
        let Parts { head: bytes, request, .. } = &mut *self.scratch;
        *request = head.write(bytes);
        self.refused = true;
    }

    /// The address of the client: to hash by, and to limit by.
    pub fn source(&self) -> IpAddr {
        self.provenance.forwarded_for.unwrap_or_else(|| self.client.ip())
    }

    pub fn mark(&mut self, stage: Stage) -> Instant {
        let now = Instant::now();
        self.timeline.mark(stage, now.into_std());
        now
    }

    /// The generation that this exchange is decided by; `None` once it was let go.
    pub fn current(&self) -> Option<Rc<Current>> {
        match &self.view {
            View::Whole(current) => Some(Rc::clone(current)),
            View::Rest(_) => None,
        }
    }

    /// The request's head, once there is one.
    pub fn request(&self) -> Option<RequestHead<'_>> {
        let bytes = match &self.head {
            Some(buffer) => buffer.head(),
            None if self.head_apart => &self.scratch.head,
            None => return None,
        };
        Some(RequestHead { bytes, parts: &self.scratch.request })
    }

    /// Lets the generation go, and the buffer with the head where nothing else stands in it. For
    /// a response that takes its time; one that is there at once is not worth the copies.
    pub fn settle(&mut self) {
        if let View::Whole(current) = &self.view {
            let seen = Seen::of(current, self.route, self.client.listener.id);
            self.view = View::Rest(Box::new(Rest {
                generation: seen.generation,
                route: seen.route.map(str::to_owned),
                metrics: Arc::clone(seen.metrics),
                listener: seen.listener.map(Arc::clone),
                log_format: seen.log_format.clone(),
            }));
        }
        if self.upload.complete.get() {
            self.let_buffer_go();
        }
    }

    /// The request has left for good: of its head a copy is enough, and whoever reads next has
    /// the buffer while it is warm in the caches.
    pub fn let_buffer_go(&mut self) {
        if self.head.as_ref().is_some_and(|buffer| buffer.body().is_empty()) {
            self.detach_head();
        }
    }
}

impl Exchange<'_> {
    /// From here on the exchange is a tunnel through its route: what tells it that the route is
    /// gone, and what counts it. `None` once the generation was let go.
    pub fn enter_tunnel(&mut self) -> Option<(Registration, Arc<RouteMetrics>)> {
        self.is_tunnel = true;
        let current = self.current()?;
        let snapshot = &current.snapshot;
        let id = self.route?;
        let route = snapshot.routes.get(id.0)?;
        let metrics = Arc::clone(snapshot.route_metrics.get(id.0)?);
        Some((self.worker.enter_tunnel(snapshot.generation, &route.name), metrics))
    }

    /// Keeps a copy of the head and gives the buffer with what came behind it.
    pub fn detach_head(&mut self) -> Option<Buffer> {
        let buffer = self.head.take()?;
        let head = &mut self.scratch.head;
        head.clear();
        head.extend_from_slice(buffer.head());
        self.head_apart = true;
        Some(buffer.release()).filter(|rest| !rest.is_empty())
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.record();
    }
}

impl Exchange<'_> {
    /// Writes the record now, before the buffer with the head goes on to the next request.
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
        let Seen { generation, route, metrics, listener, log_format } = match &self.view {
            View::Whole(current) => Seen::of(current, self.route, self.client.listener.id),
            View::Rest(rest) => rest.seen(),
        };
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
            tls: tls.map(|tls| TlsFacts { version: tls.version, sni: tls.sni.as_deref() }),
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
