//! One request from its first byte to its record, as a list of phases.
//!
//! The phases are: read the head, decide, answer or forward. Other modules implement them. This file
//! knows their order, and whether the connection is kept afterwards.

use h2::RecvStream;
use http::header::{CONTENT_TYPE, HOST};
use tokio::time::Instant;

use crate::buffer::{Buffer, HeadBuffer};
use crate::cause::{Cause, Rule};
use crate::client::{Client, LINGER, LINGER_SILENT};
use crate::deadline::Deadline;
use crate::decide::{
    Facts, LISTENERS_ASKED, Pause, ProxyReply, Rejection, Resumable, Step, decide, resume,
};
use crate::error::Reason;
use crate::exchange::{ClientEnd, Exchange, Next, next};
use crate::forward::{self, ForwardOutcome};
use crate::http1::body::Side;
use crate::http1::request::{Parsed, leading_empty_line, parse_request};
use crate::http1::scan::HeadScanner;
use crate::http2::head::incoming_request;
use crate::http2::{Stream, connect};
use crate::message::{PartialHead, RequestHead, Version, without_user};
use crate::observe::timeline::Stage;
use crate::policy::grpc::{Call, is_grpc};
use crate::policy::judge::{Answer, Question};
use crate::relay::read_some;
use crate::relay::reader::Http2Body;
use crate::respond;
use crate::route::Normalised;
use crate::scratch::Parts;
use crate::snapshot::HttpListener;
use crate::worker::{Current, Worker};

/// Handles the HTTP/1 request whose first bytes are in `buffer`.
pub async fn handle(worker: &Worker, client: &Client, buffer: Buffer, served: u32) -> Next {
    let mut exchange = Exchange::begin(worker, client, &client.deadline, ClientEnd::Http1, served);
    let Some(current) = exchange.current() else { return gone(&mut exchange) };
    let Some(listener) = current.listener(client.listener.id) else { return gone(&mut exchange) };
    match read_head(&mut exchange, listener, buffer).await {
        Ok(head) => exchange.head = Some(head),
        Err(cause) if cause.reason == Reason::ClientAborted => {
            exchange.handled = true;
            exchange.blame(cause);
            return Next::Abort;
        }
        Err(cause) => {
            respond::problem(&mut exchange, cause, None, false).await;
            exchange.handled = true;
            return Next::Close;
        }
    }
    drop(current);
    let next = serve(&mut exchange).await;
    exchange.handled = true;
    next
}

/// The listener is no longer configured: there is nothing to answer by.
fn gone(exchange: &mut Exchange<'_>) -> Next {
    exchange.blame(Reason::Draining.into());
    exchange.handled = true;
    Next::Close
}

/// Handles one stream of an HTTP/2 connection. Returns the reason that its record has.
pub async fn handle_stream(
    worker: &Worker,
    client: &Client,
    stream: Stream,
    served: u32,
) -> Option<Reason> {
    let Stream { mut head, body, respond } = stream;
    let deadline = Deadline::at(Instant::now() + client.patience);
    let has_body = !body.is_end_stream();
    let end = ClientEnd::Http2 {
        respond: Some(respond),
        body: Some(Box::new(Http2Body::new(body, Side::Request))),
    };
    let mut exchange = Exchange::begin(worker, client, &deadline, end, served);
    let current = exchange.current()?;
    let listener = current.listener(client.listener.id)?;
    let parts = &mut *exchange.scratch;
    let judged = connect::as_get(&mut head).map_err(Rule::in_request).and_then(|upgrade| {
        // What follows a request for a WebSocket is no body.
        let has_body = has_body && !upgrade;
        let Parts { head: bytes, request, .. } = parts;
        incoming_request(&head, has_body, &listener.rules, bytes, request)?;
        request.upgrade = upgrade;
        Ok(())
    });
    exchange.head_apart = judged.is_ok();
    let framing = exchange.scratch.request.framing;
    if let ClientEnd::Http2 { body: Some(body), .. } = exchange.end.get_mut() {
        body.announce(framing);
    }
    if judged.is_err() && head.headers.get(CONTENT_TYPE).is_some_and(|it| is_grpc(it.as_bytes())) {
        exchange.call = Some(Call::unread());
    }
    if judged.is_err() {
        exchange.keep_refused(&read_of(&head));
    }
    drop((current, head));
    let whole = match judged {
        Ok(()) => !matches!(serve(&mut exchange).await, Next::Abort),
        Err(cause) => respond::problem(&mut exchange, cause, None, true).await,
    };
    exchange.handled = true;
    exchange.record();
    if whole && let ClientEnd::Http2 { body: Some(body), .. } = exchange.end.get_mut() {
        linger(body.stream_mut(), &deadline).await;
    }
    exchange.reason
}

/// What of a stream's head the log can name.
fn read_of(head: &http::request::Parts) -> PartialHead<'_> {
    let named = |name: http::HeaderName| head.headers.get(name).map(http::HeaderValue::as_bytes);
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    PartialHead {
        method: head.method.as_str().as_bytes(),
        host: without_user(authority.or_else(|| named(HOST)).unwrap_or_default()),
        path: head.uri.path().as_bytes(),
        query: head.uri.query().map(str::as_bytes),
        version: Version::Http2,
    }
}

/// Reads and drops the body for a moment. Resetting the stream at once is allowed (RFC 9113, section
/// 8.1), but some clients then lose the response that came before.
async fn linger(body: &mut RecvStream, deadline: &Deadline) {
    let end = Instant::now() + LINGER;
    while !body.is_end_stream() {
        deadline.set(end.min(Instant::now() + LINGER_SILENT));
        match deadline.bound(std::future::poll_fn(|cx| body.poll_data(cx))).await {
            Ok(Some(Ok(chunk))) if body.flow_control().release_capacity(chunk.len()).is_ok() => {}
            _ => return,
        }
    }
}

/// From the head to the last byte. The configuration is read until the response has begun.
async fn serve(exchange: &mut Exchange<'_>) -> Next {
    let answered = match decided(exchange).await {
        ForwardOutcome::Ended(next) => return next,
        ForwardOutcome::Answered(answered) => answered,
    };
    forward::stream(exchange, answered).await
}

async fn decided<'c>(exchange: &mut Exchange<'c>) -> ForwardOutcome<'c> {
    let Some(current) = exchange.current() else { return ForwardOutcome::Ended(Next::Close) };
    let Some(listener) = current.listener(exchange.client.listener.id) else {
        return ForwardOutcome::Ended(Next::Close);
    };
    exchange.learn_provenance(&listener.settings.trust);
    // Boxed: most requests have no policy that asks.
    let step = match drive(exchange, &current, listener, None) {
        Step::Ask(pause) => Box::pin(answered(exchange, &current, listener, pause)).await,
        step => step,
    };
    exchange.call = exchange.scratch.decide.call;
    let routed = exchange.mark(Stage::Route);
    match step {
        Step::Reject(Rejection { cause, route }) => {
            exchange.route = route.map(|route| route.id);
            if cause.reason == Reason::MemoryLimit {
                exchange.worker.memory().count_refused();
            }
            let edits = route.map(|it| &it.response_edits);
            ForwardOutcome::Ended(refuse(exchange, cause, edits).await)
        }
        Step::Respond(reply) => ForwardOutcome::Ended(answer(exchange, &reply).await),
        Step::Plan(plan) => {
            exchange.route = Some(plan.route.id);
            exchange.handshake = exchange.scratch.decide.handshake;
            forward::forward(exchange, &current, listener, &plan, routed).await
        }
        // Every question was answered.
        Step::Ask(_) => {
            ForwardOutcome::Ended(refuse(exchange, Reason::Internal.into(), None).await)
        }
    }
}

/// Answers what policies ask until the decision asks no more.
async fn answered<'t>(
    exchange: &mut Exchange<'_>,
    current: &'t Current,
    listener: &'t HttpListener,
    mut pause: Pause<'t>,
) -> Step<'t> {
    loop {
        exchange.route = pause.route().map(|route| route.id);
        let (question, resumable) = pause.ask();
        let answer = find_out(exchange, question).await;
        match drive(exchange, current, listener, Some((resumable, answer))) {
            Step::Ask(next) => pause = next,
            step => return step,
        }
    }
}

/// Gives the decision what it is made from, at its beginning or with the answer to its question.
fn drive<'t>(
    exchange: &mut Exchange<'_>,
    current: &'t Current,
    listener: &'t HttpListener,
    answered: Option<(Resumable<'t>, Answer)>,
) -> Step<'t> {
    let elsewhere = |seen: &Normalised<'_>| {
        let others = current.snapshot.listeners.iter().filter(|other| other.id != listener.id);
        others.take(LISTENERS_ASKED).any(|other| other.table.find(seen).is_some())
    };
    let site = listener.site(&elsewhere);
    let (client, worker) = (exchange.client, exchange.worker);
    let received = exchange.timeline.head_complete().into();
    let Parts { head: apart, request, decide: scratch, .. } = &mut *exchange.scratch;
    let bytes = exchange.head.as_ref().map_or(&apart[..], |buffer| buffer.head());
    let head = RequestHead { bytes, parts: request };
    let provenance = &exchange.provenance;
    let facts = Facts {
        head,
        client: provenance.forwarded_for.or(client.address.map(|address| address.ip())),
        tls: provenance.tls,
        sni: client.tls.as_ref().and_then(|tls| tls.sni.as_deref()),
        local_port: provenance.port(&head, listener.port),
        received,
        now: Instant::now(),
        memory_full: worker.is_full(),
        random: worker.random(),
        random_key: if head.parts.upgrade { worker.random_128() } else { 0 },
    };
    match answered {
        None => decide(&site, &facts, scratch),
        Some((resumable, answer)) => resume(&site, &facts, scratch, resumable, answer),
    }
}

/// Finds the answer to a policy's question. It is there in a few seconds, or it is unknown.
async fn find_out(exchange: &Exchange<'_>, question: Question) -> Answer {
    match question {
        Question::Compute(work) => match exchange.worker.offload().run(work).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "a policy's question was not answered");
                Answer::Unknown
            }
        },
    }
}

/// Reads until the head is complete. The deadline counts from the first byte.
async fn read_head(
    exchange: &mut Exchange<'_>,
    listener: &HttpListener,
    buffer: Buffer,
) -> Result<HeadBuffer, Cause> {
    let client = exchange.client;
    let mut slot = Some(buffer);
    let mut scanner = HeadScanner::default();
    let limits = listener.rules.limits();
    let mut skipped = false;
    let mut waited = false;
    loop {
        if let Some(buffer) = &mut slot {
            if !skipped && buffer.len() >= 2 {
                buffer.consume(leading_empty_line(buffer.filled()));
                skipped = true;
            }
            let bytes = buffer.filled();
            if !bytes.is_empty() && scanner.worth_parsing(bytes, &limits) {
                let request = &mut exchange.scratch.request;
                let parsed = parse_request(bytes, &listener.rules, request);
                if let Err(cause) = parsed {
                    let parts = std::mem::take(request);
                    exchange.keep_refused(&PartialHead::of(bytes, &parts));
                    return Err(cause);
                }
                if parsed == Ok(Parsed::Complete) {
                    let length = request.length as usize;
                    let Some(buffer) = slot.take() else { return Err(Reason::Internal.into()) };
                    if waited {
                        exchange.mark(Stage::Head);
                    } else {
                        // It was whole when it came.
                        exchange.timeline.mark(Stage::Head, exchange.timeline.started());
                    }
                    return Ok(buffer.pin_head(length));
                }
            }
        }
        if !waited {
            waited = true;
            client.deadline.set(Instant::now() + *listener.settings.timeouts.head);
        }
        // A slow client holds a buffer until its head is complete.
        if slot.is_some() && exchange.worker.is_full() {
            exchange.worker.memory().count_refused();
            return Err(Reason::MemoryLimit.into());
        }
        let read = read_some(&client.io, exchange.worker.buffers(), &mut slot);
        match client.deadline.bound(read).await {
            Ok(Ok(count)) if count > 0 => {}
            Ok(_) => return Err(Reason::ClientAborted.into()),
            Err(_) if client.deadline.is_cut() => return Err(Reason::MemoryLimit.into()),
            Err(_) => return Err(Reason::HeadTimeout.into()),
        }
    }
}

/// Refuses a request that was parsed. The connection is kept if that is safe.
async fn refuse(
    exchange: &mut Exchange<'_>,
    cause: Cause,
    edits: Option<&crate::http1::edits::Edits>,
) -> Next {
    let keep_alive = may_continue(exchange);
    let written = respond::problem(exchange, cause, edits, keep_alive).await;
    next(exchange, written && keep_alive)
}

async fn answer(exchange: &mut Exchange<'_>, reply: &ProxyReply<'_>) -> Next {
    exchange.route = reply.route.map(|route| route.id);
    let keep_alive = may_continue(exchange);
    let written = respond::reply(exchange, reply, keep_alive).await;
    next(exchange, written && keep_alive)
}

/// Whether the connection can be kept after an answer that did not read the body.
fn may_continue(exchange: &Exchange<'_>) -> bool {
    let request = &exchange.scratch.request;
    request.keep_alive && request.framing.is_empty() && !exchange.client.is_ending()
}
