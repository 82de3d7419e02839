//! One exchange over one upstream connection: the request out, the response back.

use std::cell::Cell;

use tokio::time::Instant;

use super::Failure;
use super::attempt::Target;
use super::head::HeadReader;
use super::sending::Sending;
use crate::decide::HostSource;
use crate::error::Reason;
use crate::exchange::Exchange;
use crate::http1::known::KnownSet;
use crate::http1::write::{
    OutgoingRequest, OutgoingResponse, client_framing, write_request, write_response,
};
use crate::message::{Framing, RequestHead, ResponseHead};
use crate::observe::timeline::Stage as Mark;
use crate::policy::forwarded::{CLAIMS, Forwarded};
use crate::relay::request::Upload;
use crate::relay::response::{Leftover, Sink, Source, download};
use crate::relay::{Stage, Watch};
use crate::upstream::balance::{InFlight, Outcome};
use crate::upstream::pool::PooledConnection;

/// How an exchange over one upstream connection ended.
pub(super) struct Conversed {
    /// The upstream's connection may carry another request.
    pub(super) reusable: bool,
    /// So may the client's.
    pub(super) keep_alive: bool,
}

/// Sends the request and receives the response, both directions at once where need be.
pub(super) async fn converse(
    exchange: &mut Exchange<'_>,
    target: &Target<'_>,
    connection: &PooledConnection,
    in_flight: &InFlight,
    sent_at: Instant,
) -> Result<Conversed, Failure> {
    encode_request(exchange, target);
    exchange.upload = Default::default();
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
        held_back: request.expect_continue,
        watch: &watch,
        counters: &exchange.upload,
    };
    let upload = std::pin::pin!(upload.run());
    let mut sending = Sending::new(upload, client, &watch, &exchange.upload);

    let reader = HeadReader {
        upstream,
        client,
        worker,
        client_version: request.version,
        method,
        client_patience,
        watch: &watch,
        counters: &exchange.upload,
    };
    let head = sending.drive(reader.read(response)).await;
    let buffer = match head {
        Ok(buffer) => buffer,
        Err(reason) => {
            let not_sent = !exchange.upload.begun.get();
            return Err(Failure { reason, not_sent, broken_off: false });
        }
    };
    // Stands for any mistake: what a panic leaves behind is seen over real sockets.
    #[cfg(test)]
    assert_ne!(response.status, 599, "a test asks for a panic");
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
    match sending.drive(download(source, sink)).await {
        Ok(leftover) => {
            let complete = exchange.upload.complete.get();
            Ok(Conversed {
                reusable: leftover == Leftover::None && response.keep_alive && complete,
                keep_alive: announced_keep_alive && complete,
            })
        }
        Err(reason) => {
            let broken_off = exchange.download.begun.get();
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
