//! Forwarding: attempts at an upstream, until one has an answer or none may be made any more.
//!
//! A request is sent again only when surely nothing of it was sent before (`not-sent`): the
//! connect failed, or a kept connection died before it took the first byte.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use tokio::time::Instant;

use crate::decide::{HostSource, Plan};
use crate::error::Reason;
use crate::exchange::Exchange;
use crate::handler::{Next, next};
use crate::http1::known::KnownSet;
use crate::http1::request::Parsed;
use crate::http1::response::{ResponseRules, parse_response};
use crate::http1::scan::HeadScanner;
use crate::http1::simple::write_informational;
use crate::http1::write::{
    OutgoingRequest, OutgoingResponse, client_framing, write_request, write_response,
};
use crate::io::{Io, PeerState};
use crate::message::{Framing, RequestHead, ResponseHead, Version};
use crate::observe::timeline::Stage as Mark;
use crate::policy::forwarded::{CLAIMS, Forwarded};
use crate::relay::request::{Upload, UploadError};
use crate::relay::response::{Leftover, Sink, Source, download};
use crate::relay::{Stage, Watch, read_some};
use crate::respond;
use crate::snapshot::HttpListener;
use crate::upstream::balance::{InFlight, Outcome, PickKey, Picked, hash_of};
use crate::upstream::local::LocalUpstream;
use crate::upstream::pool::PooledConnection;

/// More interim responses than this are no answer (RFC 9110 sets no bound).
const MAX_INTERIM: u32 = 16;
/// What an upstream's head may be: as generous as a listener may be set.
const RESPONSE_RULES: ResponseRules = ResponseRules { head_bytes: 60 * 1024, headers: 256 };
/// Endpoints that a request remembers as tried.
const MAX_TRIED: usize = 8;

/// Why an attempt came to nothing.
struct Failure {
    reason: Reason,
    /// Nothing of the request was sent: another attempt cannot run it twice.
    not_sent: bool,
    /// The client has seen a part of the response: it can only be broken off.
    broken_off: bool,
}

impl Failure {
    fn sent(reason: Reason) -> Self {
        Self { reason, not_sent: false, broken_off: false }
    }

    fn not_sent(reason: Reason) -> Self {
        Self { reason, not_sent: true, broken_off: false }
    }
}

/// Sends the request to the planned upstream and its response to the client.
pub async fn forward(
    exchange: &mut Exchange<'_>,
    listener: &HttpListener,
    plan: &Plan<'_>,
) -> Next {
    let limit = plan.route.body_limit.unwrap_or(*listener.settings.request_limits.body);
    if let Framing::Length(length) = exchange.scratch.request.framing
        && length > limit
    {
        return fail(exchange, plan, Reason::BodyTooLarge).await;
    }
    let current = Rc::clone(&exchange.current);
    let Some(upstream) = current.upstreams.get(plan.upstream.0) else {
        return fail(exchange, plan, Reason::Internal).await;
    };
    let key = pick_key(exchange, upstream, plan);
    let give_up = Instant::now() + plan.timeouts.response;
    let mut tried: smallvec::SmallVec<[u64; MAX_TRIED]> = smallvec::SmallVec::new();
    loop {
        let now = Instant::now();
        let Some(picked) = upstream.balancer.pick(&key, &tried, now) else {
            return fail(exchange, plan, Reason::NoEndpoint).await;
        };
        exchange.attempts += 1;
        let target = Target {
            listener,
            plan,
            upstream,
            picked: &picked,
            limit,
            give_up: give_up.min(now + plan.timeouts.per_try),
        };
        let failure = match attempt(exchange, &target).await {
            Ok(keep_alive) => return next(exchange, keep_alive),
            Err(failure) => failure,
        };
        if failure.broken_off {
            exchange.reason = Some(failure.reason);
            return Next::Abort;
        }
        let again = failure.not_sent
            && exchange.attempts <= u32::from(plan.retries)
            && Instant::now() < give_up;
        if !again {
            return fail(exchange, plan, failure.reason).await;
        }
        upstream.live.metrics.of(exchange.worker.id()).resends.increment();
        if tried.len() < MAX_TRIED {
            tried.push(picked.id);
        }
    }
}

/// Answers with the reason. The connection goes on if the request was read to its end.
async fn fail(exchange: &mut Exchange<'_>, plan: &Plan<'_>, reason: Reason) -> Next {
    let request = &exchange.scratch.request;
    let whole = request.framing.is_empty() || exchange.upload.complete.get();
    let keep_alive = whole && request.keep_alive && !exchange.client.registration.is_draining();
    if reason.status() == 0 {
        exchange.reason = Some(reason);
        return Next::Abort;
    }
    let edits = Some(&plan.route.response_edits);
    let written = respond::problem(exchange, reason, edits, keep_alive).await;
    next(exchange, written && keep_alive)
}

fn pick_key(exchange: &Exchange<'_>, upstream: &LocalUpstream, plan: &Plan<'_>) -> PickKey {
    let hash = upstream.live.hash_key().and_then(|key| {
        let buffer = exchange.head.as_ref()?;
        let head = RequestHead { bytes: buffer.head(), parts: &exchange.scratch.request };
        hash_of(key, &head, exchange.client.ip())
    });
    PickKey { hash, sticky: plan.sticky.and_then(|sticky| sticky.endpoint) }
}

/// Where one attempt goes, and how long it may take.
struct Target<'a> {
    listener: &'a HttpListener,
    plan: &'a Plan<'a>,
    upstream: &'a LocalUpstream,
    picked: &'a Picked,
    limit: u64,
    give_up: Instant,
}

async fn attempt(exchange: &mut Exchange<'_>, target: &Target<'_>) -> Result<bool, Failure> {
    let Target { upstream, picked, .. } = target;
    let endpoint = upstream.endpoint(picked);
    let worker = exchange.worker;
    let shard = endpoint.metrics.of(worker.id());
    shard.requests.increment();
    exchange.endpoint = Some(Rc::clone(&endpoint));
    exchange.timeline.unmark(Mark::Connect);
    let in_flight = picked.start();
    let _counted = shard.in_flight.hold();

    let waited = Cell::new(None);
    let acquired = upstream
        .acquire(picked, target.give_up, Instant::now(), || waited.set(Some(Instant::now())))
        .await;
    if let Some(at) = waited.get() {
        exchange.timeline.mark(Mark::Wait, at.into_std());
    }
    let connection = match acquired {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(endpoint = endpoint.metrics.address(), %error, "no connection");
            if error.may_try_another() {
                shard.failures.increment();
                in_flight.observe(Outcome { latency: None, failed: true }, Instant::now());
                return Err(Failure::not_sent(error.reason()));
            }
            return Err(Failure::sent(error.reason()));
        }
    };
    if !connection.reused {
        exchange.mark(Mark::Connect);
    }
    let result = converse(exchange, target, &connection, &in_flight).await;
    let now = Instant::now();
    match result {
        Ok(done) => {
            if done.reusable {
                upstream.release(connection, exchange.scratch.response.keep_alive_timeout, now);
            } else {
                upstream.discard(connection);
            }
            Ok(done.keep_alive)
        }
        Err(failure) => {
            upstream.discard(connection);
            if failure.reason.fault() == crate::error::Fault::Upstream {
                shard.failures.increment();
                in_flight.observe(Outcome { latency: None, failed: true }, now);
            }
            Err(failure)
        }
    }
}

/// How an exchange over one upstream connection ended.
struct Conversed {
    /// The upstream's connection may carry another request.
    reusable: bool,
    /// So may the client's.
    keep_alive: bool,
}

/// Sends the request and receives the response, both directions at once where need be.
async fn converse(
    exchange: &mut Exchange<'_>,
    target: &Target<'_>,
    connection: &PooledConnection,
    in_flight: &InFlight,
) -> Result<Conversed, Failure> {
    encode_request(exchange, target);
    exchange.upload = Default::default();
    let sent_at = Instant::now();
    let watch =
        Watch { deadline: &exchange.client.deadline, stage: Cell::new(Stage::ResponseHead) };
    watch.deadline.set(target.give_up);

    let client = &exchange.client.io;
    let upstream = &*connection.io;
    let worker = exchange.worker;
    let client_patience = *target.listener.settings.timeouts.body;
    let draining = || exchange.client.registration.is_draining();
    let Some(buffer) = exchange.head.as_mut() else {
        return Err(Failure::sent(Reason::Internal));
    };
    let parts = &mut *exchange.scratch;
    let (request, response) = (&parts.request, &mut parts.response);
    let method = request.method;
    let mut method_bytes = [0; 16];
    let method = {
        let name = method.of(buffer.head());
        let length = name.len().min(method_bytes.len());
        method_bytes[..length].copy_from_slice(&name[..length]);
        &method_bytes[..length]
    };
    let upload = Upload {
        client,
        upstream,
        buffer,
        head: &mut parts.out,
        framing: request.framing,
        limit: target.limit,
        patience: client_patience,
        answer_patience: target.plan.timeouts.per_try,
        watch: &watch,
        counters: &exchange.upload,
    };
    let upload = std::pin::pin!(upload.run());
    let mut sending = Sending::new(upload);
    let watched = Watched { client, watch: &watch, counters: &exchange.upload };

    let mut reader = HeadReader {
        upstream,
        client,
        worker,
        client_version: request.version,
        method,
        client_patience,
        slot: None,
    };
    let head = sending.drive(&watched, reader.read(response)).await;
    let buffer = match head {
        Ok(buffer) => buffer,
        Err(reason) => {
            let not_sent = !exchange.upload.begun.get();
            return Err(Failure { reason, not_sent, broken_off: false });
        }
    };
    let answered = Instant::now();
    exchange.timeline.mark(Mark::FirstByte, answered.into_std());
    let failed = response.status >= 500;
    let latency = Some(answered - sent_at);
    in_flight.observe(Outcome { latency, failed }, answered);
    exchange.status = response.status;

    let outgoing = client_framing(response.framing, request.version);
    let announced_keep_alive = request.keep_alive
        && exchange.upload.complete.get()
        && outgoing != Framing::UntilClose
        && !draining();
    parts.lines.clear();
    if let Some(sticky) = target.plan.sticky {
        sticky.write(target.picked.id, exchange.client.tls.is_some(), &mut parts.lines);
    }
    parts.response_out.clear();
    let date = worker.clock().http_date(answered.into_std());
    write_response(
        &mut parts.response_out,
        &ResponseHead { bytes: buffer.filled(), parts: response },
        &OutgoingResponse {
            client: request.version,
            keep_alive: announced_keep_alive,
            framing: outgoing,
            date: &date,
            edits: Some(&target.plan.route.response_edits),
            drop: KnownSet::of(&[]),
            append: &[],
            append_raw: &parts.lines,
            keep_upgrade: false,
        },
    );
    let mut buffer = buffer;
    buffer.consume(response.length as usize);
    let source = Source {
        upstream,
        pool: worker.buffers(),
        buffer: Some(buffer),
        framing: response.framing,
        patience: target.plan.timeouts.idle,
    };
    let sink = Sink {
        client,
        out: &mut parts.response_out,
        framing: outgoing,
        patience: client_patience,
        watch: &watch,
        counters: &exchange.download,
    };
    match sending.drive(&watched, download(source, sink)).await {
        Ok(leftover) => {
            let complete = exchange.upload.complete.get();
            Ok(Conversed {
                reusable: leftover == Leftover::None && response.keep_alive && complete,
                keep_alive: announced_keep_alive && complete,
            })
        }
        Err(reason) => {
            let broken_off = exchange.download.first_byte.get().is_some();
            if broken_off && outgoing == Framing::UntilClose {
                client.reset_on_close();
            }
            Err(Failure { reason, not_sent: false, broken_off })
        }
    }
}

fn encode_request(exchange: &mut Exchange<'_>, target: &Target<'_>) {
    let Some(buffer) = &exchange.head else { return };
    let parts = &mut *exchange.scratch;
    let head = RequestHead { bytes: buffer.head(), parts: &parts.request };
    let told = Forwarded::new(
        exchange.client.address_text(),
        exchange.client.tls.is_some(),
        head.authority(),
        &exchange.request_id,
    );
    parts.out.clear();
    write_request(
        &mut parts.out,
        &head,
        &OutgoingRequest {
            path: target.plan.path(&head, &parts.decide),
            query: head.query(),
            host: match target.plan.host {
                HostSource::Client => head.authority(),
                HostSource::Endpoint => target.picked.authority.as_bytes(),
                HostSource::Fixed(host) => host.as_bytes(),
            },
            framing: parts.request.framing,
            edits: Some(&target.plan.route.request_edits),
            drop: CLAIMS,
            append: &told.lines(),
            keep_expect: parts.request.expect_continue,
            keep_upgrade: false,
            keep_alive: true,
        },
    );
}

/// The request on its way, polled beside whatever waits for the response.
struct Sending<'a, F> {
    upload: std::pin::Pin<&'a mut F>,
    finished: bool,
    /// The upstream took no more; its answer may say why.
    stopped: Option<Reason>,
}

/// What is looked at while a response is waited for.
struct Watched<'a> {
    client: &'a Io,
    watch: &'a Watch<'a>,
    counters: &'a crate::relay::request::UploadCounters,
}

impl<'a, F: Future<Output = Result<(), UploadError>>> Sending<'a, F> {
    fn new(upload: std::pin::Pin<&'a mut F>) -> Self {
        Self { upload, finished: false, stopped: None }
    }

    /// Runs `receive` to its end while the request goes on being sent.
    async fn drive<T>(
        &mut self,
        watched: &Watched<'_>,
        receive: impl Future<Output = Result<T, Reason>>,
    ) -> Result<T, Reason> {
        let mut receive = std::pin::pin!(receive);
        let mut client_watched = true;
        std::future::poll_fn(|cx| {
            if !self.finished
                && let Poll::Ready(result) = self.upload.as_mut().poll(cx)
            {
                self.finished = true;
                match result {
                    Ok(()) => {}
                    Err(UploadError::Client(reason)) => return Poll::Ready(Err(reason)),
                    // An upstream that answers early may close before it has read everything.
                    Err(UploadError::Upstream(_)) if watched.counters.begun.get() => {
                        self.stopped = Some(Reason::UpstreamReset);
                    }
                    Err(UploadError::Upstream(_)) => {
                        return Poll::Ready(Err(Reason::UpstreamReset));
                    }
                }
            }
            if watched.counters.begun.get()
                && let Poll::Ready(received) = receive.as_mut().poll(cx)
            {
                return Poll::Ready(received);
            }
            // A client that is gone needs no answer; one that only finished sending does.
            if self.finished
                && client_watched
                && watched.watch.stage.get() == Stage::ResponseHead
                && watched.client.poll_readable(cx).is_ready()
            {
                client_watched = false;
                if watched.client.peer_state() == PeerState::Reset {
                    return Poll::Ready(Err(Reason::ClientAborted));
                }
            }
            watched
                .watch
                .deadline
                .poll_expired(cx)
                .map(|()| Err(watched.watch.stage.get().timeout()))
        })
        .await
    }
}

/// Reads the final response's head, passing interim ones on.
struct HeadReader<'a> {
    upstream: &'a Io,
    client: &'a Io,
    worker: &'a crate::worker::Worker,
    client_version: Version,
    method: &'a [u8],
    client_patience: std::time::Duration,
    slot: Option<crate::buffer::Buffer>,
}

impl HeadReader<'_> {
    async fn read(
        &mut self,
        response: &mut crate::message::ResponseParts,
    ) -> Result<crate::buffer::Buffer, Reason> {
        let rules = RESPONSE_RULES;
        let limits = rules.limits();
        let mut scanner = HeadScanner::default();
        let mut interim = 0;
        let mut passed_on = Vec::new();
        loop {
            if let Some(buffer) = &mut self.slot
                && !buffer.is_empty()
                && scanner.worth_parsing(buffer.filled(), &limits)
                && parse_response(buffer.filled(), &rules, self.method, response)?
                    == Parsed::Complete
            {
                match response.status {
                    101 => return Err(Reason::UpstreamProtocol),
                    100..=199 => {}
                    _ => return self.slot.take().ok_or(Reason::Internal),
                }
                interim += 1;
                if interim > MAX_INTERIM {
                    return Err(Reason::UpstreamProtocol);
                }
                if self.client_version == Version::Http11 {
                    let head = ResponseHead { bytes: buffer.filled(), parts: response };
                    passed_on.clear();
                    write_informational(&mut passed_on, &head);
                    let write = self.client.write_all(&passed_on, &[], |_| {});
                    let written = tokio::time::timeout(self.client_patience, write).await;
                    written.map_err(|_| Reason::ClientSlow)?.map_err(|_| Reason::ClientAborted)?;
                }
                buffer.consume(response.length as usize);
                scanner = HeadScanner::default();
                continue;
            }
            match read_some(self.upstream, self.worker.buffers(), &mut self.slot).await {
                Ok(count) if count > 0 => {}
                _ => return Err(Reason::UpstreamReset),
            }
        }
    }
}
