//! The request as it goes to the upstream.

use std::io::IoSlice;
use std::rc::Rc;

use tokio::time::Instant;

use super::attempt::Target;
use crate::decide::HostSource;
use crate::exchange::{ClientEnd, Exchange};
use crate::http1::body::Side;
use crate::http1::write::{Line, OutgoingRequest, wants_trailers, write_request};
use crate::io::Io;
use crate::message::{Framing, Known, RequestHead, Version};
use crate::policy::forwarded::Forwarded;
use crate::policy::grpc::write_timeout;
use crate::policy::grpc_web;
use crate::relay::filter::{Filter, Filtered};
use crate::relay::reader::{Http1Body, Reading};
use crate::relay::request::{Upload, UploadRules};
use crate::relay::writer::{Http1Writing, Wire, Writing};
use crate::scratch::Parts;

/// Writes the head for HTTP/1 into `scratch.out`.
fn encode_request(exchange: &mut Exchange<'_>, target: &Target<'_>) {
    let mut out = std::mem::take(&mut exchange.scratch.out);
    out.clear();
    outgoing(exchange, target, |head, plan| write_request(&mut out, head, plan));
    exchange.scratch.out = out;
}

/// The request as it goes to the upstream, in whichever protocol `encode` writes it.
pub(super) fn outgoing<R>(
    exchange: &Exchange<'_>,
    target: &Target<'_>,
    encode: impl FnOnce(&RequestHead<'_>, &OutgoingRequest<'_>) -> R,
) -> R {
    let Parts { head: apart, request, decide, .. } = &*exchange.scratch;
    let bytes = exchange.head.as_ref().map_or(&apart[..], |buffer| buffer.head());
    let head = RequestHead { bytes, parts: request };
    let told = Forwarded::new(
        &exchange.provenance,
        &head,
        exchange.client.peer.address().as_bytes(),
        &exchange.request_id,
    );
    let left = exchange.call.and_then(|call| call.deadline);
    let left = left.map(|at| write_timeout(at.saturating_duration_since(Instant::now())));
    let left = [left.as_deref().unwrap_or_default()];
    let web = exchange.call.and_then(|call| call.web);
    let content_type = head.fields().known(Known::ContentType).unwrap_or_default();
    let content_type = web.map(|_| grpc_web::to_service(content_type)).unwrap_or_default();
    let upgrade = exchange.handshake.as_ref();
    let key = upgrade.map(|handshake| [handshake.key()]);
    let (mut drop, mut lines, mut framing) = (told.dropped(), told.lines(), request.framing);
    if !left[0].is_empty() {
        drop = drop.with(Known::GrpcTimeout);
        lines.push(Line { name: b"grpc-timeout", value: &left });
    }
    if let Some(web) = web {
        drop = drop.with(Known::ContentType);
        lines.push(Line { name: b"content-type", value: &content_type });
        if !wants_trailers(&head) {
            lines.push(Line { name: b"te", value: &[b"trailers"] });
        }
        if web.text && !framing.is_empty() {
            framing = Framing::Chunked;
        }
    }
    if let Some(key) = &key {
        // Of several protocols that the client offers, this one alone.
        drop = drop.with(Known::Upgrade);
        lines.push(Line { name: b"upgrade", value: &[b"websocket"] });
        if request.version == Version::Http2 {
            lines.push(Line { name: b"sec-websocket-key", value: key });
        }
    }
    let plan = OutgoingRequest {
        path: target.plan.path(&head, decide),
        query: head.query(),
        host: match target.plan.host {
            HostSource::Client => head.authority(),
            HostSource::Endpoint => target.picked.authority.as_bytes(),
            HostSource::Fixed(host) => host.as_bytes(),
        },
        framing,
        edits: Some(&target.plan.route.request_edits),
        drop,
        append: &lines,
        keep_expect: request.expect_continue,
        keep_upgrade: upgrade.is_some(),
        keep_alive: true,
    };
    encode(&head, &plan)
}

/// Begins to send the request over HTTP/1. `None` when all of it has left, as most do that have no
/// body.
pub(super) fn begin_http1<'c>(
    exchange: &mut Exchange<'c>,
    target: &Target<'_>,
    io: &Rc<Io>,
) -> Option<Upload<'c>> {
    encode_request(exchange, target);
    let framing = exchange.scratch.request.framing;
    let head = &exchange.scratch.out;
    let sent = if framing.is_empty() { io.write_at_once(&[IoSlice::new(head)]) } else { 0 };
    exchange.upload.begun.set(sent > 0);
    if sent == head.len() {
        exchange.upload.complete.set(true);
        return None;
    }
    let out = std::mem::take(&mut exchange.scratch.out);
    let writing = Http1Writing::new(Wire::Upstream(Rc::clone(io)), out, framing).behind(sent);
    Some(begin_upload(exchange, target, Writing::Http1(writing)))
}

/// The head that stands in `writing`, and the client's body behind it.
pub(super) fn begin_upload<'c>(
    exchange: &mut Exchange<'c>,
    target: &Target<'_>,
    writing: Writing<'c>,
) -> Upload<'c> {
    let client: &'c crate::connection::Client = exchange.client;
    let request = &exchange.scratch.request;
    let framing = request.framing;
    let web = exchange.call.and_then(|call| call.web);
    let call = exchange.call.is_some() && web.is_none() && matches!(writing, Writing::Http2(_));
    let rules = UploadRules {
        limit: target.limit,
        patience: *target.listener.settings.timeouts.body,
        idle: target.plan.timeouts.idle,
        call,
        answer_patience: target.plan.timeouts.per_try,
        started: target.started,
        answer_by: target.answer_by,
        held_back: request.expect_continue,
    };
    let mut reading = match exchange.end.get_mut() {
        _ if framing.is_empty() => Reading::Nothing,
        ClientEnd::Http1 => {
            Reading::Pinned { io: &client.io, body: Http1Body::new(framing, Side::Request) }
        }
        ClientEnd::Http2 { body, .. } => match body.take() {
            Some(body) => Reading::Http2(body),
            None => Reading::Nothing,
        },
    };
    if web.is_some_and(|web| web.text) && !framing.is_empty() {
        reading = Reading::Filtered(Box::new(Filtered::new(reading, Filter::from_text())));
    }
    Upload::new(reading, writing, exchange.worker.pipes(), rules)
}
