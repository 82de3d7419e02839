//! The head of the response to the client.

use http::StatusCode;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::attempt::AttemptTarget;
use crate::error::Reason;
use crate::exchange::{ClientEnd, Exchange};
use crate::http1::write::{Line, OutgoingResponse, client_framing, write_response};
use crate::http2::head::outgoing_response;
use crate::message::{Fields, Framing, Known, KnownSet, ResponseHead};
use crate::policy::grpc::is_grpc;
use crate::policy::grpc_web;
use crate::policy::sticky::Cookie;
use crate::relay::filter::Stack;
use crate::relay::filter::grpc_web::{ToBinary, ToText};
use crate::relay::writer::{Http1Writing, Http2Writing, Wire, Writing};
use crate::scratch::Parts;

/// What is done to the body of the response, whose framing is changed accordingly. A response of
/// a call that is not gRPC's own goes on as it came.
pub(super) fn response_filters(exchange: &mut Exchange<'_>, bytes: &[u8]) -> Stack {
    let Some(web) = exchange.call.and_then(|call| call.web) else { return Stack::default() };
    let parts = &mut exchange.scratch.response;
    let fields = Fields { bytes, fields: &parts.fields };
    if !fields.known(Known::ContentType).is_some_and(is_grpc) {
        return Stack::default();
    }
    let filters = if web.text_back {
        Stack::default().with(ToText::default())
    } else {
        Stack::default().with(ToBinary)
    };
    // The trailers join the body.
    parts.framing = filters.framing(parts.framing);
    filters
}

/// The head for the client, whether its connection is kept, and whether only the end of the
/// connection ends the body.
pub(super) fn begin_response<'c>(
    exchange: &mut Exchange<'c>,
    target: &AttemptTarget<'_>,
    bytes: &[u8],
    answered: Instant,
) -> Result<(Writing<'c>, bool, bool), Reason> {
    let Parts { request, response, decide, response_out, .. } = &mut *exchange.scratch;
    let framing = client_framing(response.framing, request.version);
    let switching = response.status == 101;
    // Bytes after a WebSocket request may be frames; they must not be read as requests.
    let spoiled = exchange.handshake.is_some()
        && (exchange.client_spoke
            || exchange.head.as_ref().is_some_and(|head| !head.body().is_empty()));
    let keep_alive = request.keep_alive
        && !spoiled
        && exchange.upload.complete.get()
        && framing != Framing::UntilClose
        && !exchange.client.is_ending();
    let sticky = target.plan.sticky;
    let cookie = sticky.and_then(|it| it.cookie(target.picked.id, exchange.provenance.tls));
    let cookie = cookie.as_ref().map(Cookie::pieces);
    let date = exchange.worker.clock().http_date(answered.into_std());
    let head = ResponseHead { bytes, parts: response };
    let web = exchange.call.and_then(|call| call.web);
    let content_type =
        web.and_then(|web| grpc_web::to_client(web, head.fields().known(Known::ContentType)?));
    let mut append: SmallVec<[Line<'_>; 2]> = SmallVec::new();
    if let Some(value) = &cookie {
        append.push(Line { name: b"set-cookie", value });
    }
    let mut drop = KnownSet::EMPTY;
    if let Some(value) = &content_type {
        append.push(Line { name: b"content-type", value });
        drop = drop.with(Known::ContentType);
    }
    let plan = OutgoingResponse {
        client: request.version,
        keep_alive,
        framing,
        date: &date,
        edits: Some(&target.plan.route.response_edits),
        changes: Some(&decide.lists.response),
        drop,
        append: &append,
        keep_upgrade: switching,
    };
    let writing = match exchange.end.get_mut() {
        ClientEnd::Http1 => {
            response_out.clear();
            write_response(response_out, &head, &plan);
            let wire = Wire::Client(&exchange.client.io);
            let framing = if switching { Framing::UntilClose } else { framing };
            Writing::Http1(Http1Writing::new(wire, std::mem::take(response_out), framing))
        }
        ClientEnd::Http2 { respond, .. } => {
            let mut response = outgoing_response(&head, &plan)?;
            if switching {
                // RFC 8441, section 5.
                *response.status_mut() = StatusCode::OK;
                response.headers_mut().remove("sec-websocket-accept");
                exchange.status = 200;
            } else if exchange.handshake.is_some() && response.status().is_success() {
                return Err(Reason::UpgradeRefused);
            }
            let respond = respond.take().ok_or(Reason::Internal)?;
            Writing::Http2(Box::new(Http2Writing::response(respond, response)))
        }
    };
    Ok((writing, keep_alive, framing == Framing::UntilClose))
}
