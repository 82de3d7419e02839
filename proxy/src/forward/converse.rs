//! The request out and the head of its response back, over one upstream connection.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::StatusCode;
use tokio::time::Instant;

use super::Failure;
use super::attempt::Target;
use super::head::{HeadReader, Http1Heads, Http2Heads, MAX_INTERIM};
use super::sending::{Sending, take_back};
use super::stream::Begun;
use crate::buffer::HeadBuffer;
use crate::decide::HostSource;
use crate::error::{Fault, Reason};
use crate::exchange::{ClientEnd, Exchange};
use crate::http1::body::Side;
use crate::http1::simple::write_informational;
use crate::http1::write::{
    Line, OutgoingRequest, OutgoingResponse, client_framing, wants_trailers, write_request,
    write_response,
};
use crate::http2::head::{outgoing_request, outgoing_response};
use crate::message::{Fields, Framing, Known, KnownSet, RequestHead, ResponseHead, Version};
use crate::observe::timeline::Stage as Mark;
use crate::policy::forwarded::Forwarded;
use crate::policy::grpc::{is_grpc, write_timeout};
use crate::policy::grpc_web::{self, Web};
use crate::relay::filter::{Filter, Filtered};
use crate::relay::reader::{Http1Body, Http2Body, Reading};
use crate::relay::request::{Upload, UploadRules};
use crate::relay::response::Download;
use crate::relay::writer::{Http1Writing, Http2Writing, Wire, Writing};
use crate::relay::{Stage, Watch};
use crate::scratch::Parts;
use crate::upstream::acquire::Connection;
use crate::upstream::balance::{InFlight, Outcome};

/// The longest method whose name matters for what follows.
const METHOD_ROOM: usize = 16;

/// Sends the request until the head of the final response is there.
pub(super) async fn converse<'c>(
    exchange: &mut Exchange<'c>,
    target: &Target<'_>,
    connection: &mut Connection,
    in_flight: &InFlight,
    sent_at: Instant,
) -> Result<Box<Begun<'c>>, Failure> {
    exchange.upload = Default::default();
    exchange.upstream_reset = None;
    let end = exchange.call.and_then(|call| call.deadline);
    let watch = Watch::new(exchange.deadline, end);
    watch.deadline.set(target.give_up);
    let mut method = [0; METHOD_ROOM];
    let method = {
        let name = exchange.request().map_or(&b""[..], |head| head.method());
        let length = name.len().min(METHOD_ROOM);
        method[..length].copy_from_slice(&name[..length]);
        &method[..length]
    };
    let position = exchange.head.as_ref().map(HeadBuffer::position);
    let worker = exchange.worker;
    let (upload, mut reader) = match connection {
        Connection::Http1(_) if exchange.call.is_some_and(|call| call.web.is_some()) => {
            tracing::debug!("an upstream of gRPC does not speak HTTP/2");
            return Err(Failure::sent(Reason::UpstreamProtocol));
        }
        Connection::Http1(connection) => {
            encode_request(exchange, target);
            let out = std::mem::take(&mut exchange.scratch.out);
            let wire = Wire::Upstream(Rc::clone(&connection.io));
            let framing = exchange.scratch.request.framing;
            let writing = Writing::Http1(Http1Writing::new(wire, out, framing));
            let heads = Http1Heads::new(Rc::clone(&connection.io), worker.buffers(), method);
            (begin_upload(exchange, target, writing), HeadReader::Http1(heads))
        }
        Connection::Http2(lease) => {
            let tls = target.upstream.live.tls.is_some();
            let request =
                outgoing(exchange, target, |head, plan| outgoing_request(head, plan, tls))
                    .map_err(Failure::sent)?;
            let whole = exchange.scratch.request.framing.is_empty();
            let (response, stream) = lease.send(request, whole).map_err(|error| {
                tracing::debug!(%error, "an HTTP/2 connection takes no stream");
                Failure::not_sent(Reason::UpstreamReset)
            })?;
            exchange.upload.begun.set(true);
            let bytes = std::mem::take(&mut exchange.scratch.response_head);
            let heads = Http2Heads::new(response, method, bytes);
            let writing = Writing::Http2(Http2Writing::request(stream, whole));
            (begin_upload(exchange, target, writing), HeadReader::Http2(Box::new(heads)))
        }
    };
    let mut upload = Some(upload);
    let mut response = std::mem::take(&mut exchange.scratch.response);
    let mut interim = 0;
    let ended = loop {
        let next = reader.next(&mut response);
        if let Err(reason) = drive(exchange, &mut upload, &watch, next).await {
            break Err(reason);
        }
        match response.status {
            101 => {
                let head = ResponseHead { bytes: reader.bytes(), parts: &response };
                let asked = exchange.handshake.filter(|_| upload.is_none());
                let switches = asked.is_some_and(|it| it.is_answered_by(&head));
                break if switches { Ok(()) } else { Err(Reason::UpstreamProtocol) };
            }
            100..=199 => interim += 1,
            _ => break Ok(()),
        }
        if interim > MAX_INTERIM {
            break Err(Reason::UpstreamProtocol);
        }
        let head = ResponseHead { bytes: reader.bytes(), parts: &response };
        if let Err(reason) = pass_on(exchange, &mut upload, &watch, target, &head).await {
            break Err(reason);
        }
        reader.skip(response.length);
    };
    // Stands for any mistake: what a panic leaves behind is seen over real sockets.
    #[cfg(test)]
    assert_ne!(response.status, 599, "a test asks for a panic");
    exchange.scratch.response = response;
    if let Err(reason) = ended {
        exchange.upstream_reset = reader.reset_code();
        // What was refused can be sent again while all that was sent of it is still here.
        let unsent =
            !exchange.upload.begun.get() || (reader.was_refused() && !exchange.upload.waited.get());
        let not_sent = unsent && reason.fault() == Fault::Upstream;
        if let Some(upload) = upload {
            take_back(exchange, upload);
        }
        if not_sent && let (Some(buffer), Some(position)) = (&mut exchange.head, position) {
            // Nothing was read since: the body is sent from its start.
            buffer.rewind(position);
        }
        return Err(Failure { reason, not_sent });
    }
    let upgraded = exchange.scratch.response.status == 101;
    let upgraded = upgraded.then_some(target.plan.forward.websocket);
    let answered = Instant::now();
    exchange.timeline.mark(Mark::FirstByte, answered.into_std());
    exchange.status = exchange.scratch.response.status;
    let outcome = Outcome { latency: Some(answered - sent_at), failed: exchange.status >= 500 };
    in_flight.observe(outcome, answered);

    let web = web_response(exchange, reader.bytes());
    let (writing, keep_alive, until_close) =
        begin_response(exchange, target, reader.bytes(), answered).map_err(Failure::sent)?;
    reader.skip(exchange.scratch.response.length);
    let framing = match &upgraded {
        Some(_) => Framing::UntilClose,
        None => exchange.scratch.response.framing,
    };
    let mut reading = reader.into_body(framing, &mut exchange.scratch.response_head);
    if let Some(web) = web.filter(|_| !framing.is_empty()) {
        let filter = Filter::to_web(web.text_back);
        reading = Reading::Filtered(Box::new(Filtered::new(reading, filter)));
    }
    watch.stage.set(Stage::ResponseBody);
    let idle = target.plan.timeouts.idle;
    let download = if exchange.call.is_some() {
        Download::new(reading, writing, idle, idle).of_call()
    } else {
        let client_patience = *target.listener.settings.timeouts.body;
        Download::new(reading, writing, idle, client_patience)
    };
    Ok(Box::new(Begun { watch, upload, download, keep_alive, until_close, upgraded }))
}

/// Runs `receive` to its end while the request goes on being sent.
async fn drive<'c, T>(
    exchange: &mut Exchange<'c>,
    upload: &mut Option<Upload<'c>>,
    watch: &Watch<'c>,
    receive: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    let mut receive = pin!(receive);
    std::future::poll_fn(|cx| {
        let mut sending = Sending { upload: &mut *upload, watch, exchange: &mut *exchange };
        if let Poll::Ready(reason) = sending.poll(cx) {
            return Poll::Ready(Err(reason));
        }
        if sending.exchange.upload.begun.get()
            && let Poll::Ready(received) = receive.as_mut().poll(cx)
        {
            return Poll::Ready(received);
        }
        sending.poll_end(cx, None).map(Err)
    })
    .await
}

/// Passes an interim response on. Half of one cannot be followed by anything, so that a deadline
/// that passes meanwhile counts as the client's.
async fn pass_on<'c>(
    exchange: &mut Exchange<'c>,
    upload: &mut Option<Upload<'c>>,
    watch: &Watch<'c>,
    target: &Target<'_>,
    head: &ResponseHead<'_>,
) -> Result<(), Reason> {
    let client_patience = *target.listener.settings.timeouts.body;
    match exchange.scratch.request.version {
        Version::Http10 => return Ok(()),
        Version::Http2 => {
            let plan = OutgoingResponse::interim();
            let response = outgoing_response(head, &plan)?;
            if let ClientEnd::Http2 { respond: Some(respond), .. } = &mut *exchange.end.borrow_mut()
            {
                respond.send_informational(response).map_err(|_| Reason::ClientAborted)?;
            }
        }
        Version::Http11 => {
            let mut bytes = Vec::new();
            write_informational(&mut bytes, head);
            let (stage, until) = (watch.stage.get(), watch.deadline.wanted());
            watch.expect(Stage::ClientWrite, client_patience);
            let io = &exchange.client.io;
            let write = async {
                io.write_all(&bytes, &[], |_| {}).await.map_err(|_| Reason::ClientAborted)
            };
            drive(exchange, upload, watch, write).await?;
            watch.stage.set(stage);
            watch.deadline.set(until);
        }
    }
    if head.parts.status == 100 && !exchange.upload.complete.get() {
        // Now the body is the client's to send.
        watch.expect(Stage::ClientBody, client_patience);
    }
    Ok(())
}

fn begin_upload<'c>(
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
        held_back: request.expect_continue,
    };
    let mut reading = match exchange.end.get_mut() {
        _ if framing.is_empty() => Reading::Nothing,
        ClientEnd::Http1 => {
            Reading::Pinned { io: &client.io, body: Http1Body::new(framing, Side::Request) }
        }
        ClientEnd::Http2 { body, .. } => match body.take() {
            Some(stream) => Reading::Http2(Http2Body::new(stream, Side::Request)),
            None => Reading::Nothing,
        },
    };
    if web.is_some_and(|web| web.text) && !framing.is_empty() {
        reading = Reading::Filtered(Box::new(Filtered::new(reading, Filter::from_text())));
    }
    Upload::new(reading, writing, rules)
}

/// How the response of a call is translated. One that is not gRPC's own goes on as it came.
fn web_response(exchange: &mut Exchange<'_>, bytes: &[u8]) -> Option<Web> {
    let web = exchange.call?.web?;
    let parts = &mut exchange.scratch.response;
    let fields = Fields { bytes, fields: &parts.fields };
    if !fields.known(Known::ContentType).is_some_and(is_grpc) {
        return None;
    }
    if !parts.framing.is_empty() {
        // The trailers join the body.
        parts.framing = Framing::Chunked;
    }
    Some(web)
}

/// The head for the client, whether its connection goes on, and whether only the connection's
/// end will tell it the end of the body.
fn begin_response<'c>(
    exchange: &mut Exchange<'c>,
    target: &Target<'_>,
    bytes: &[u8],
    answered: Instant,
) -> Result<(Writing<'c>, bool, bool), Reason> {
    let Parts { request, response, lines, response_out, .. } = &mut *exchange.scratch;
    let framing = client_framing(response.framing, request.version);
    let switching = response.status == 101;
    // What came behind a request for a WebSocket may be frames: nobody is to read them as requests.
    let spoiled = exchange.handshake.is_some()
        && (exchange.client_spoke
            || exchange.head.as_ref().is_some_and(|head| !head.body().is_empty()));
    let keep_alive = request.keep_alive
        && !spoiled
        && exchange.upload.complete.get()
        && framing != Framing::UntilClose
        && !exchange.client.registration.is_draining();
    lines.clear();
    if let Some(sticky) = target.plan.sticky {
        sticky.write(target.picked.id, exchange.provenance.tls, lines);
    }
    let date = exchange.worker.clock().http_date(answered.into_std());
    let head = ResponseHead { bytes, parts: response };
    let web = exchange.call.and_then(|call| call.web);
    let content_type =
        web.and_then(|web| grpc_web::to_client(web, head.fields().known(Known::ContentType)?));
    let line = [Line { name: b"content-type", value: content_type.as_deref().unwrap_or_default() }];
    let (drop, append) = match content_type {
        Some(_) => (KnownSet::of(&[Known::ContentType]), &line[..]),
        None => (KnownSet::EMPTY, &[][..]),
    };
    let plan = OutgoingResponse {
        client: request.version,
        keep_alive,
        framing,
        date: &date,
        edits: Some(&target.plan.route.response_edits),
        drop,
        append,
        append_raw: lines,
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
            Writing::Http2(Http2Writing::response(respond, response))
        }
    };
    Ok((writing, keep_alive, framing == Framing::UntilClose))
}

fn encode_request(exchange: &mut Exchange<'_>, target: &Target<'_>) {
    let mut out = std::mem::take(&mut exchange.scratch.out);
    out.clear();
    outgoing(exchange, target, |head, plan| write_request(&mut out, head, plan));
    exchange.scratch.out = out;
}

/// The request as it goes to the upstream, in whichever protocol `encode` writes it.
fn outgoing<R>(
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
        exchange.client.address_text(),
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
