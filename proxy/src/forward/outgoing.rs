//! The request to the upstream.

use std::rc::Rc;

use h2::client::ResponseFuture;
use tokio::time::Instant;

use super::AttemptFailure;
use super::attempt::AttemptTarget;
use crate::decide::HostSource;
use crate::error::Reason;
use crate::exchange::{ClientEnd, Exchange};
use crate::http1::body::Side;
use crate::http1::write::{Line, OutgoingRequest, wants_trailers, write_request};
use crate::http2::client::Lease;
use crate::http2::head::outgoing_request;
use crate::io::Io;
use crate::message::{Framing, Known, RequestHead, Version};
use crate::policy::forwarded::Forwarded;
use crate::policy::grpc::write_timeout;
use crate::policy::grpc_web;
use crate::relay::filter::grpc_web::FromText;
use crate::relay::filter::{Filtered, Stack};
use crate::relay::reader::{Http1Body, Reading};
use crate::relay::request::{Upload, UploadRules};
use crate::relay::writer::{Http1Writing, Http2Writing, Wire, Writing};
use crate::scratch::Parts;

/// Writes the head for HTTP/1 into `scratch.out`.
fn encode_request(exchange: &mut Exchange<'_>, target: &AttemptTarget<'_>, framing: Framing) {
    let mut out = std::mem::take(&mut exchange.scratch.out);
    out.clear();
    outgoing(exchange, target, framing, |head, plan| write_request(&mut out, head, plan));
    exchange.scratch.out = out;
}

/// The filters on the request's body.
fn request_filters(exchange: &Exchange<'_>) -> Stack {
    match exchange.call.and_then(|call| call.web) {
        Some(web) if web.text => Stack::default().with(FromText::default()),
        _ => Stack::default(),
    }
}

/// The request as it goes to the upstream, in whichever protocol `encode` writes it, with its body
/// framed so.
fn outgoing<R>(
    exchange: &Exchange<'_>,
    target: &AttemptTarget<'_>,
    framing: Framing,
    encode: impl FnOnce(&RequestHead<'_>, &OutgoingRequest<'_>) -> R,
) -> R {
    let Parts { head: apart, request, decide, .. } = &*exchange.scratch;
    let bytes = exchange.head.as_ref().map_or(&apart[..], |buffer| buffer.head());
    let head = RequestHead { bytes, parts: request };
    let forwarded = Forwarded::new(
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
    let (mut drop, mut lines) = (forwarded.dropped(), forwarded.lines());
    if !left[0].is_empty() {
        drop = drop.with(Known::GrpcTimeout);
        lines.push(Line { name: b"grpc-timeout", value: &left });
    }
    if web.is_some() {
        drop = drop.with(Known::ContentType);
        lines.push(Line { name: b"content-type", value: &content_type });
        if !wants_trailers(&head) {
            lines.push(Line { name: b"te", value: &[b"trailers"] });
        }
    }
    if let Some(key) = &key {
        // Only this protocol, even if the client offers several.
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
        changes: Some(&decide.lists.request),
        drop,
        append: &lines,
        keep_expect: request.expect_continue,
        keep_upgrade: upgrade.is_some(),
        keep_alive: true,
    };
    encode(&head, &plan)
}

/// Begins to send the request over HTTP/1. `None` when all of it has left, as it mostly has: there
/// is no body, or it came with its head.
pub(super) fn begin_http1<'c>(
    exchange: &mut Exchange<'c>,
    target: &AttemptTarget<'_>,
    io: &Rc<Io>,
) -> Option<Upload<'c>> {
    let filters = request_filters(exchange);
    let mut framing = exchange.scratch.request.framing;
    let outgoing = filters.framing(framing);
    encode_request(exchange, target, outgoing);
    let out = std::mem::take(&mut exchange.scratch.out);
    let mut writing = Http1Writing::new(Wire::Upstream(Rc::clone(io)), out, outgoing);
    if filters.is_empty()
        && let Some(body) = whole_body(exchange)
    {
        let (left, length) = (writing.leave_at_once(body), body.len());
        if let Some(buffer) = &mut exchange.head {
            buffer.consume(left.body);
        }
        exchange.upload.begun.set(left.any);
        exchange.upload.body.set(left.body as u64);
        if left.whole {
            exchange.scratch.out = writing.take_out();
            exchange.upload.complete.set(true);
            exchange.let_buffer_go();
            return None;
        }
        if !framing.is_empty() {
            framing = Framing::Length((length - left.body) as u64);
        }
    }
    Some(begin_upload(exchange, target, Writing::Http1(writing), framing, filters))
}

/// Begins to send the request on a stream of HTTP/2: the rest of it, and its response to come.
pub(super) fn begin_http2<'c>(
    exchange: &mut Exchange<'c>,
    target: &AttemptTarget<'_>,
    lease: &mut Lease,
) -> Result<(Upload<'c>, ResponseFuture), AttemptFailure> {
    let tls = target.upstream.live.tls.is_some();
    let filters = request_filters(exchange);
    let framing = exchange.scratch.request.framing;
    let framed = filters.framing(framing);
    let request =
        outgoing(exchange, target, framed, |head, plan| outgoing_request(head, plan, tls))
            .map_err(AttemptFailure::sent)?;
    let whole = framing.is_empty();
    let (response, stream) = lease.send(request, whole).map_err(|error| {
        tracing::debug!(%error, "an HTTP/2 connection takes no stream");
        exchange.note(format!("the HTTP/2 connection takes no stream: {error}"));
        AttemptFailure::not_sent(Reason::UpstreamReset)
    })?;
    exchange.upload.begun.set(true);
    let writing = Writing::Http2(Box::new(Http2Writing::request(stream, whole)));
    Ok((begin_upload(exchange, target, writing, framing, filters), response))
}

/// The body of the request, where all of it is here, to go on as it is and without being asked for.
fn whole_body<'e>(exchange: &'e Exchange<'_>) -> Option<&'e [u8]> {
    let request = &exchange.scratch.request;
    match request.framing {
        framing if framing.is_empty() => Some(&[]),
        Framing::Length(length) if !request.expect_continue => {
            exchange.head.as_ref()?.body().get(..usize::try_from(length).ok()?)
        }
        _ => None,
    }
}

/// The head that stands in `writing`, and behind it what is left of the client's body, framed so.
fn begin_upload<'c>(
    exchange: &mut Exchange<'c>,
    target: &AttemptTarget<'_>,
    writing: Writing<'c>,
    framing: Framing,
    filters: Stack,
) -> Upload<'c> {
    let client: &'c crate::client::Client = exchange.client;
    let request = &exchange.scratch.request;
    let web = exchange.call.and_then(|call| call.web);
    let call = exchange.call.is_some() && web.is_none() && matches!(writing, Writing::Http2(_));
    let rules = UploadRules {
        limit: target.plan.body_limit,
        patience: *target.listener.settings.timeouts.body,
        idle: target.plan.timeouts().idle,
        call,
        answer_patience: target.plan.timeouts().per_try,
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
    if !filters.is_empty() && !framing.is_empty() {
        reading = Reading::Filtered(Box::new(Filtered::new(reading, filters)));
    }
    Upload::new(reading, writing, exchange.worker.pipes(), rules)
}
