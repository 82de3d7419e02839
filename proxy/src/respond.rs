//! Responses that the proxy makes itself: problems, redirects, fixed replies.
//!
//! What a client reads here comes from the closed list of reasons or from the configuration,
//! never from an inner error.

use crate::decide::ProxyReply;
use crate::error::Reason;
use crate::exchange::Exchange;
use crate::http1::edits::Edits;
use crate::http1::simple::{SimpleResponse, write_simple_response};
use crate::http1::write::Line;
use crate::observe::timeline::Stage;

const PROBLEM: &[u8] = b"application/problem+json";

/// Answers with a problem (RFC 9457). False when the client did not take it.
pub async fn problem(
    exchange: &mut Exchange<'_>,
    reason: Reason,
    edits: Option<&Edits>,
    keep_alive: bool,
) -> bool {
    exchange.reason = Some(reason);
    if reason.status() == 0 {
        return false;
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
        location: false,
        edits,
        keep_alive,
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
        location: reply.has_location,
        edits: Some(&reply.route.response_edits),
        keep_alive,
    };
    send(exchange, &response).await
}

struct Own<'a> {
    status: u16,
    content_type: Option<&'a [u8]>,
    body: &'a [u8],
    location: bool,
    edits: Option<&'a Edits>,
    keep_alive: bool,
}

async fn send(exchange: &mut Exchange<'_>, own: &Own<'_>) -> bool {
    let now = exchange.mark(Stage::FirstByte);
    exchange.status = own.status;
    let date = exchange.worker.clock().http_date(now.into_std());
    let head_only = exchange
        .head
        .as_ref()
        .is_some_and(|head| exchange.scratch.request.method.of(head.head()) == b"HEAD");
    if !head_only {
        exchange.own_body = own.body.len() as u64;
    }
    let version = exchange.scratch.request.version;
    let parts = &mut *exchange.scratch;
    parts.out.clear();
    let location = [parts.decide.location()];
    let line = [Line { name: b"location", value: &location }];
    write_simple_response(
        &mut parts.out,
        &SimpleResponse {
            status: own.status,
            content_type: own.content_type,
            body: own.body,
            headers: if own.location { &line } else { &[] },
            edits: own.edits,
            date: &date,
            head_only,
            client: version,
            keep_alive: own.keep_alive,
        },
    );
    let client = exchange.client;
    let patience = client.patience;
    client.deadline.set(now + patience);
    let write = client.io.write_all(&parts.out, &[], |_| {
        client.deadline.set(tokio::time::Instant::now() + patience);
    });
    match client.deadline.bound(write).await {
        Ok(Ok(())) => true,
        // The reason stays that of the answer: why it did not arrive matters less.
        Ok(Err(_)) | Err(_) => false,
    }
}
