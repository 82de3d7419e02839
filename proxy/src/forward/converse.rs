//! The request out and the head of its response back, over one upstream connection.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::time::Instant;

use super::Failure;
use super::answer::{begin_response, response_filters};
use super::attempt::Target;
use super::head::{HeadReader, Http1Heads, Http2Heads, MAX_INTERIM};
use super::outgoing::{begin_http1, begin_upload, outgoing, request_filters};
use super::sending::{Sending, forget, rewind, take_back};
use super::stream::Begun;
use crate::cause::{Cause, Rule};
use crate::error::{Fault, Reason};
use crate::exchange::{ClientEnd, Exchange};
use crate::http1::simple::write_informational;
use crate::http1::write::OutgoingResponse;
use crate::http2::head::{outgoing_request, outgoing_response};
use crate::http2::heard::Heard;
use crate::message::{Framing, ResponseHead, Version};
use crate::observe::access_log::Answerer;
use crate::observe::timeline::Stage as Mark;
use crate::policy::grpc::read_status;
use crate::relay::filter::Filtered;
use crate::relay::reader::Reading;
use crate::relay::request::Upload;
use crate::relay::response::Download;
use crate::relay::writer::{Http2Writing, Writing};
use crate::relay::{Stage, Watch};
use crate::upstream::acquire::Connection;
use crate::upstream::balance::{InFlight, Outcome};
use crate::upstream::fault::Words;

/// The longest method whose name matters for what follows.
const METHOD_ROOM: usize = 16;

/// How far an upstream's response has come.
pub(super) enum Reply<'c> {
    /// Its head is there. Boxed: it is large, and handed from phase to phase.
    Begun(Box<Begun<'c>>),
    /// All of it came at once, and the client has taken it.
    Passed {
        /// The client was told that its connection goes on.
        keep_alive: bool,
        /// The upstream's connection stands exactly behind it.
        at_its_end: bool,
    },
}

/// Sends the request until the head of the final response is there.
pub(super) async fn converse<'c>(
    exchange: &mut Exchange<'c>,
    target: &Target<'_>,
    connection: &mut Connection,
    in_flight: &InFlight,
    sent_at: Instant,
) -> Result<Reply<'c>, Failure> {
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
    if let Some(buffer) = &mut exchange.head {
        buffer.keep();
    }
    let worker = exchange.worker;
    let (mut upload, mut reader) = match connection {
        Connection::Http1(_) if exchange.call.is_some_and(|call| call.web.is_some()) => {
            tracing::debug!("an upstream of gRPC does not speak HTTP/2");
            return Err(Failure::sent(Rule::WebNeedsHttp2.in_response()));
        }
        Connection::Http1(connection) => {
            let upload = begin_http1(exchange, target, &connection.io);
            let heads = Http1Heads::new(Rc::clone(&connection.io), worker.buffers(), method);
            (upload, HeadReader::Http1(heads))
        }
        Connection::Http2(lease) => {
            let tls = target.upstream.live.tls.is_some();
            let filters = request_filters(exchange);
            let framing = exchange.scratch.request.framing;
            let framed = filters.framing(framing);
            let request =
                outgoing(exchange, target, framed, |head, plan| outgoing_request(head, plan, tls))
                    .map_err(Failure::sent)?;
            let whole = framing.is_empty();
            let (response, stream) = lease.send(request, whole).map_err(|error| {
                tracing::debug!(%error, "an HTTP/2 connection takes no stream");
                exchange.note(format!("the HTTP/2 connection takes no stream: {error}"));
                Failure::not_sent(Reason::UpstreamReset)
            })?;
            exchange.upload.begun.set(true);
            let bytes = std::mem::take(&mut exchange.scratch.response_head);
            let heads = Http2Heads::new(response, method, bytes);
            let writing = Writing::Http2(Box::new(Http2Writing::request(stream, whole)));
            let upload = begin_upload(exchange, target, writing, framing, filters);
            (Some(upload), HeadReader::Http2(Box::new(heads)))
        }
    };
    let mut response = std::mem::take(&mut exchange.scratch.response);
    let mut interim = 0;
    let ended = loop {
        let next = reader.next(&mut response);
        if let Err(cause) = drive(exchange, &mut upload, &watch, next).await {
            break Err(cause);
        }
        match response.status {
            101 => {
                let head = ResponseHead { bytes: reader.bytes(), parts: &response };
                let asked = exchange.handshake.filter(|_| upload.is_none());
                break match asked {
                    Some(handshake) if handshake.is_answered_by(&head) => Ok(()),
                    Some(_) => Err(Rule::WebSocketAccept.in_response()),
                    None => Err(Rule::SwitchedUnasked.in_response()),
                };
            }
            100..=199 => interim += 1,
            _ => break Ok(()),
        }
        if interim > MAX_INTERIM {
            break Err(Rule::TooManyInterim.in_response());
        }
        let head = ResponseHead { bytes: reader.bytes(), parts: &response };
        if let Err(cause) = pass_on(exchange, &mut upload, &watch, target, &head).await {
            break Err(cause);
        }
        reader.skip(response.length as usize);
    };
    // Stands for any mistake: what a panic leaves behind is seen over real sockets.
    #[cfg(test)]
    assert_ne!(response.status, 599, "a test asks for a panic");
    exchange.scratch.response = response;
    if let Err(cause) = ended {
        exchange.upstream_reset = reader.reset_code();
        let cause = explain(exchange, cause, reader.take_fault(), connection);
        let unsent = !exchange.upload.begun.get() || reader.was_refused();
        if let Some(upload) = upload {
            take_back(exchange, upload);
        }
        // What was refused can be sent again while all that was sent of it is still here.
        let not_sent = unsent && cause.reason.fault() == Fault::Upstream && rewind(exchange);
        return Err(Failure { cause, not_sent });
    }
    forget(exchange, upload.as_mut());
    let upgraded = exchange.scratch.response.status == 101;
    let upgraded = upgraded.then_some(target.plan.forward.websocket);
    let answered = Instant::now();
    exchange.timeline.mark(Mark::FirstByte, answered.into_std());
    exchange.status = exchange.scratch.response.status;
    exchange.answered_by = Some(Answerer::Origin);
    if exchange.handshake.is_some() && exchange.status != 101 {
        exchange.note("the origin refused the WebSocket handshake");
    }
    let outcome = Outcome { latency: Some(answered - sent_at), failed: exchange.status >= 500 };
    in_flight.observe(outcome, answered);

    if exchange.call.is_some() {
        // It stands in the head where there is nothing else.
        let head = ResponseHead { bytes: reader.bytes(), parts: &exchange.scratch.response };
        exchange.grpc_status = head.fields().first("grpc-status").and_then(read_status);
    }
    let filters = response_filters(exchange, reader.bytes());
    let (mut writing, keep_alive, until_close) =
        begin_response(exchange, target, reader.bytes(), answered).map_err(Failure::sent)?;
    reader.skip(exchange.scratch.response.length as usize);
    let mut framing = match &upgraded {
        Some(_) => Framing::UntilClose,
        None => exchange.scratch.response.framing,
    };
    if upload.is_none()
        && filters.is_empty()
        && let (Writing::Http1(writing), Some(body)) = (&mut writing, reader.whole_body(framing))
    {
        let left = writing.leave_at_once(body);
        let rest = body.len() - left.body;
        exchange.download.begun.set(left.any);
        exchange.download.body.set(left.body as u64);
        reader.skip(left.body);
        if left.whole {
            exchange.scratch.response_out = writing.take_out();
            return Ok(Reply::Passed { keep_alive, at_its_end: reader.bytes().is_empty() });
        }
        if !framing.is_empty() {
            framing = Framing::Length(rest as u64);
        }
    }
    let mut reading = reader.into_body(framing, &mut exchange.scratch.response_head);
    if !filters.is_empty() && !framing.is_empty() {
        reading = Reading::Filtered(Box::new(Filtered::new(reading, filters)));
    }
    watch.stage.set(Stage::ResponseBody);
    let idle = target.plan.timeouts.idle;
    let pipes = worker.pipes();
    let download = if exchange.call.is_some() {
        Download::new(reading, writing, pipes, idle, idle).of_call()
    } else {
        let client_patience = *target.listener.settings.timeouts.body;
        Download::new(reading, writing, pipes, idle, client_patience)
    };
    let begun = Begun { watch, upload, download, keep_alive, until_close, upgraded };
    Ok(Reply::Begun(Box::new(begun)))
}

/// Notes what happened to the connection, where that is why there is no answer; a peer that speaks
/// something else than was expected is a cause of its own.
#[cold]
fn explain(
    exchange: &mut Exchange<'_>,
    cause: Cause,
    fault: Option<Words>,
    connection: &Connection,
) -> Cause {
    const SILENT: &str = "; it sent no HTTP/2 frame: check the upstream's protocol";
    if cause.reason != Reason::UpstreamReset {
        return cause;
    }
    if let Some(fault) = fault {
        exchange.note(fault);
    }
    match connection {
        Connection::Http1(connection) if connection.reused => {
            exchange.note_more(" (on a kept connection)");
            cause
        }
        Connection::Http1(_) => cause,
        Connection::Http2(lease) => match lease.heard() {
            Heard::Http1 => Rule::Http1FromHttp2.in_response(),
            Heard::Nothing => {
                exchange.note_more(SILENT);
                cause
            }
            Heard::Fault { words, silent } => {
                exchange.note(words);
                if silent {
                    exchange.note_more(SILENT);
                }
                cause
            }
            Heard::Frames => cause,
        },
    }
}

/// Runs `receive` to its end while the request goes on being sent.
async fn drive<'c, T>(
    exchange: &mut Exchange<'c>,
    upload: &mut Option<Upload<'c>>,
    watch: &Watch<'c>,
    receive: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    let mut receive = pin!(receive);
    std::future::poll_fn(|cx| {
        let mut sending = Sending { upload: &mut *upload, watch, exchange: &mut *exchange };
        if let Poll::Ready(cause) = sending.poll(cx) {
            return Poll::Ready(Err(cause));
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
) -> Result<(), Cause> {
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
                io.write_all(&bytes, &[], |_| {}).await.map_err(|_| Reason::ClientAborted.into())
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
