//! Responses that the proxy makes itself: problems, redirects, fixed replies.
//!
//! What a client reads here comes from the closed list of reasons or from the configuration,
//! never from an inner error.

use tokio::time::Instant;

use crate::cause::Cause;
use crate::decide::ProxyReply;
use crate::error::Reason;
use crate::exchange::{ClientEnd, Exchange};
use crate::http1::edits::Edits;
use crate::http1::simple::{SimpleResponse, write_simple_response};
use crate::http1::write::Line;
use crate::http2::head::whole_response;
use crate::message::Framing;
use crate::observe::access_log::Answerer;
use crate::observe::timeline::Stage;
use crate::policy::grpc::{self, Call, Status};
use crate::relay::least;
use crate::relay::writer::{Http1Writing, Http2Writing, Wire, Writing};
use crate::websocket::handshake;

const PROBLEM: &[u8] = b"application/problem+json";

/// Answers with a problem (RFC 9457). False when the client did not take it.
pub async fn problem(
    exchange: &mut Exchange<'_>,
    cause: Cause,
    edits: Option<&Edits>,
    keep_alive: bool,
) -> bool {
    exchange.blame(cause);
    let reason = cause.reason;
    if reason.status() == 0 {
        return false;
    }
    if let Some(call) = exchange.call {
        return refuse_call(exchange, call, reason, edits, keep_alive).await;
    }
    // The words are ours and hold nothing that JSON would escape.
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"reason\":\"{}\",\"requestId\":\"{}\"}}\n",
        reason.title(),
        reason.status(),
        reason.label(),
        exchange.request_id.as_str(),
    );
    let response = Own {
        status: reason.status(),
        content_type: Some(PROBLEM),
        body: body.as_bytes(),
        lines: &[],
        location: false,
        edits,
        keep_alive,
    };
    send(exchange, &response).await
}

/// Answers a call of gRPC, whose clients look for the reason in two fields.
async fn refuse_call(
    exchange: &mut Exchange<'_>,
    call: Call,
    reason: Reason,
    edits: Option<&Edits>,
    keep_alive: bool,
) -> bool {
    let status = Status::of(reason, exchange.upstream_reset);
    exchange.grpc_status = Some(status as u32);
    let status = [status.text().as_bytes()];
    let message = grpc::message(reason);
    let message = [message.as_bytes()];
    let lines = [
        Line { name: b"grpc-status", value: &status },
        Line { name: b"grpc-message", value: &message },
    ];
    let response = Own {
        status: 200,
        content_type: Some(call.content_type()),
        body: b"",
        lines: &lines,
        edits,
        keep_alive,
        location: false,
    };
    send(exchange, &response).await
}

/// Answers as the route says.
pub async fn reply(exchange: &mut Exchange<'_>, reply: &ProxyReply<'_>, keep_alive: bool) -> bool {
    exchange.reason = Some(reply.reason);
    let response = Own {
        status: reply.status,
        content_type: reply.content_type.map(str::as_bytes),
        body: reply.body,
        lines: &[],
        location: reply.has_location,
        edits: reply.route.map(|route| &route.response_edits),
        keep_alive,
    };
    send(exchange, &response).await
}

struct Own<'a> {
    status: u16,
    content_type: Option<&'a [u8]>,
    body: &'a [u8],
    lines: &'a [Line<'a>],
    /// Besides, the location that was decided.
    location: bool,
    edits: Option<&'a Edits>,
    keep_alive: bool,
}

async fn send(exchange: &mut Exchange<'_>, own: &Own<'_>) -> bool {
    let now = exchange.mark(Stage::FirstByte);
    exchange.status = own.status;
    exchange.answered_by = Some(Answerer::Gateway);
    let date = exchange.worker.clock().http_date(now.into_std());
    let head_only = exchange.request().is_some_and(|head| head.method() == b"HEAD");
    if !head_only {
        exchange.own_body = own.body.len() as u64;
    }
    let parts = &mut *exchange.scratch;
    let location = [parts.decide.location()];
    let line = [Line { name: b"location", value: &location }];
    let version = [Line { name: b"sec-websocket-version", value: &[handshake::VERSION] }];
    let headers: &[_] = match exchange.reason {
        _ if own.location => &line,
        // Which one would be right (RFC 6455, section 4.4).
        Some(Reason::WebSocketVersion) => &version,
        _ => own.lines,
    };
    let response = SimpleResponse {
        status: own.status,
        content_type: own.content_type,
        body: own.body,
        headers,
        edits: own.edits,
        changes: Some(&parts.decide.lists.response),
        date: &date,
        head_only,
        client: parts.request.version,
        keep_alive: own.keep_alive,
    };
    let client = exchange.client;
    let mut writing = match exchange.end.get_mut() {
        ClientEnd::Http1 => {
            parts.out.clear();
            write_simple_response(&mut parts.out, &response);
            let out = std::mem::take(&mut parts.out);
            Writing::Http1(Http1Writing::new(Wire::Client(&client.io), out, Framing::None))
        }
        ClientEnd::Http2 { respond, .. } => {
            let Some(respond) = respond.take() else { return false };
            let (head, body) = whole_response(&response);
            Writing::Http2(Box::new(Http2Writing::whole(respond, head, body)))
        }
    };
    let deadline = exchange.deadline;
    deadline.set(now + client.patience);
    // A client that takes a byte now and then does not hold a connection for ever.
    let (mut moved, least) = (0, least(client.patience));
    let mut progress = |count: usize| {
        moved += count as u64;
        if moved >= least {
            moved = 0;
            deadline.set(Instant::now() + client.patience);
        }
    };
    let write = std::future::poll_fn(|cx| writing.poll_flush(cx, &mut progress));
    // The reason stays that of the answer: why it did not arrive matters less.
    let written = matches!(deadline.bound(write).await, Ok(Ok(())));
    exchange.scratch.out = writing.take_out();
    written
}

/// The stream of a response that was not begun goes back to the exchange.
pub fn take_back(exchange: &mut Exchange<'_>, writing: &mut Writing<'_>) {
    if let (ClientEnd::Http2 { respond, .. }, Writing::Http2(writing)) =
        (exchange.end.get_mut(), writing)
    {
        *respond = writing.take_respond();
    }
}
