//! The facts of one request as they become known, and the one record that is written of it.
//!
//! The record is written when the exchange is dropped. So there is one for every request: answered,
//! refused, cancelled or ended by a panic.

mod next;
mod record;
mod view;

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
use crate::client::Client;
use crate::deadline::Deadline;
use crate::drain::Registration;
use crate::error::Reason;
use crate::memory::RecentRequest;
use crate::message::{PartialHead, RequestHead};
use crate::observe::access_log::Answerer;
use crate::observe::series::RouteMetrics;
use crate::observe::timeline::{Stage, Timeline};
use crate::policy::grpc::Call;
use crate::policy::provenance::{Peer, Provenance};
use crate::policy::request_id::RequestId;
use crate::relay::reader::Http2Body;
use crate::relay::request::UploadCounters;
use crate::relay::response::DownloadCounters;
use crate::route::RouteId;
use crate::scratch::{Parts, Scratch};
use crate::upstream::local::LocalEndpoint;
use crate::websocket::handshake::Handshake;
use crate::worker::{Current, Worker};
use view::View;

pub use next::{Next, next};

/// The state of one request.
pub struct Exchange<'c> {
    pub worker: &'c Worker,
    pub client: &'c Client,
    /// The one timer of the exchange.
    pub deadline: &'c Deadline,
    /// The client's end, by protocol.
    pub end: RefCell<ClientEnd>,
    view: View,
    pub scratch: Scratch,
    /// Holds the HTTP/1 head once it is complete, and the body while it arrives.
    pub head: Option<HeadBuffer>,
    /// The head is in `scratch.head`: it arrived over HTTP/2, or its buffer was returned.
    pub head_apart: bool,
    pub request_id: RequestId,
    pub provenance: Provenance,
    pub timeline: Timeline,
    pub route: Option<RouteId>,
    pub endpoint: Option<Rc<LocalEndpoint>>,
    pub attempts: u32,
    pub status: u16,
    pub reason: Option<Reason>,
    /// The rule or event behind the reason, for the log only.
    detail: Option<Cow<'static, str>>,
    pub answered_by: Option<Answerer>,
    /// The chosen upstream, if no endpoint of it was chosen.
    pub upstream: Option<Box<str>>,
    /// The request is a gRPC call.
    pub call: Option<Call>,
    /// The call's status as it was answered.
    pub grpc_status: Option<u32>,
    /// The code with which the upstream reset the stream of this request.
    pub upstream_reset: Option<h2::Reason>,
    pub upload: UploadCounters,
    pub download: DownloadCounters,
    /// Body bytes of a response that the proxy made.
    pub own_body: u64,
    /// Which request of its connection, from one.
    number: u32,
    recorded: bool,
    /// The handler ran to its end. Otherwise the exchange was dropped before.
    pub handled: bool,
    /// The head was refused; `scratch.request` and `scratch.head` name what of it could be read.
    refused: bool,
    /// Counts the request as recent: its memory may not be measured yet.
    _recent_request: RecentRequest<'c>,
    /// The client sent something after its request.
    pub client_spoke: bool,
    /// The client closed its write side before the response.
    pub client_closed: bool,
    /// The upstream has switched protocols.
    is_tunnel: bool,
    /// The request asks for a WebSocket, and the listener allows it.
    pub handshake: Option<Handshake>,
    /// When the exchange ended, if the clock was read already.
    pub finished: Option<Instant>,
}

/// What the client's protocol gives an exchange besides its connection.
pub enum ClientEnd {
    /// The connection itself carries the exchange, alone.
    Http1,
    /// A stream of its own.
    Http2 { respond: Option<SendResponse<Bytes>>, body: Option<Box<Http2Body>> },
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
            _recent_request: worker.recent_requests(),
            client_spoke: false,
            client_closed: false,
            is_tunnel: false,
            handshake: None,
            finished: None,
        }
    }

    /// Reads from the head where the request comes from, as far as its peer is trusted.
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

    /// Sets the reason and its cause.
    pub fn blame(&mut self, cause: Cause) {
        self.reason = Some(cause.reason);
        if let Some(rule) = cause.rule {
            self.detail = Some(Cow::Borrowed(rule.text()));
        }
    }

    /// Sets the detail for the log, replacing an earlier one.
    pub fn note(&mut self, detail: impl Into<Cow<'static, str>>) {
        self.detail = Some(detail.into());
    }

    /// Appends to the detail.
    pub fn note_more(&mut self, more: &'static str) {
        if let Some(detail) = &mut self.detail {
            detail.to_mut().push_str(more);
        }
    }

    /// Another attempt begins: forgets how the previous one failed.
    pub fn forget_note(&mut self) {
        self.detail = None;
    }

    /// The head was refused: keeps the parts that the log can name.
    pub fn keep_refused(&mut self, head: &PartialHead<'_>) {
        let Parts { head: bytes, request, .. } = &mut *self.scratch;
        *request = head.write(bytes);
        self.refused = true;
    }

    /// The client's address, for hashing and limits.
    pub fn source(&self) -> IpAddr {
        self.provenance.forwarded_for.unwrap_or_else(|| self.client.ip())
    }

    pub fn mark(&mut self, stage: Stage) -> Instant {
        let now = Instant::now();
        self.timeline.mark(stage, now.into_std());
        now
    }

    /// The generation that decides this exchange; `None` once it was released.
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

    /// Releases the generation, and the buffer with the head if it holds nothing else. For responses
    /// that take time; for one that is complete at once the copies would cost more.
    pub fn settle(&mut self) {
        self.view.settle(self.route, self.client.listener.id);
        if self.upload.complete.get() {
            self.let_buffer_go();
        }
    }

    /// The request is sent and will not be sent again: keeps a copy of its head, and returns the
    /// buffer to the pool while it is warm in the caches.
    pub fn let_buffer_go(&mut self) {
        if self.head.as_ref().is_some_and(|buffer| buffer.body().is_empty()) {
            self.detach_head();
        }
    }
}

impl Exchange<'_> {
    /// From here on the exchange is a tunnel through its route. Returns what ends it when the route is
    /// removed, and what counts it; `None` once the generation was released.
    pub fn enter_tunnel(&mut self) -> Option<(Registration, Arc<RouteMetrics>)> {
        self.is_tunnel = true;
        let current = self.current()?;
        let snapshot = &current.snapshot;
        let id = self.route?;
        let route = snapshot.routes.get(id.0)?;
        let metrics = Arc::clone(snapshot.route_metrics.get(id.0)?);
        Some((self.worker.enter_tunnel(snapshot.generation, &route.name), metrics))
    }

    /// Keeps a copy of the head, and returns the buffer with the bytes after it.
    pub fn detach_head(&mut self) -> Option<Buffer> {
        let buffer = self.head.take()?;
        let head = &mut self.scratch.head;
        head.clear();
        head.extend_from_slice(buffer.head());
        self.head_apart = true;
        Some(buffer.release()).filter(|rest| !rest.is_empty())
    }
}
