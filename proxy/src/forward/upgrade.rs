//! The exchange after its upstream has switched to WebSocket.

use tokio::time::Instant;

use super::attempt::Connected;
use super::stream::{Answered, BodyStreams};
use crate::exchange::{ClientEnd, Exchange, Next};
use crate::http1::body::Side;
use crate::message::Framing;
use crate::relay::reader::{Http1Body, Reading};
use crate::relay::websocket::{Direction, Finished, WebSocketTunnel};
use crate::relay::writer::{Http1Writing, Wire, Writing};
use crate::upstream::acquire::Connection;
use crate::upstream::outcome::AttemptOutcome;
use crate::websocket::Rules;

/// Forwards frames to the end. The generation is released before the first one.
pub(super) async fn tunnel<'c>(
    exchange: &mut Exchange<'c>,
    answered: Answered<'c>,
    rules: Rules,
) -> Next {
    let Answered { connected, begun } = answered;
    let Connected { upstream, connection, trial, .. } = connected;
    let BodyStreams { download, .. } = *begun;
    let Connection::Http1(own) = &connection else { return Next::Abort };
    let (worker, client) = (exchange.worker, exchange.client);
    let Some((route, metrics)) = exchange.enter_tunnel() else { return Next::Abort };
    let early = exchange.detach_head();
    exchange.settle();
    let _open = metrics.websockets(worker.id()).hold();

    // The streams of a connection have their own registrations.
    let mut apart = None;
    let reading = match exchange.end.get_mut() {
        ClientEnd::Http1 => Reading::Lent {
            io: Wire::Client(&client.io),
            pool: worker.buffers().clone(),
            buffer: early,
            body: Http1Body::new(Framing::UntilClose, Side::Response),
        },
        ClientEnd::Http2 { body, .. } => {
            apart = Some(client.registration.another());
            match body.take() {
                Some(body) => Reading::Http2(body),
                None => Reading::Nothing,
            }
        }
    };
    let wire = Wire::Upstream(std::rc::Rc::clone(&own.io));
    let writing = Writing::Http1(Http1Writing::new(wire, Vec::new(), Framing::UntilClose));
    let [a, b, c, d, ..] = worker.random().to_be_bytes();
    let tunnel = WebSocketTunnel {
        client_to_upstream: Direction::new(
            reading,
            writing,
            &exchange.upload.body,
            Some([a, b, c, d]),
        ),
        upstream_to_client: Direction::new(
            download.pump.reading,
            download.pump.writing,
            &exchange.download.body,
            None,
        ),
        deadline: exchange.deadline,
        rules,
        random: worker.random(),
        listener: apart.as_ref().unwrap_or(&client.registration),
        route: &route,
    };
    let Finished { reason, clean } = tunnel.run().await;

    upstream.discard(connection);
    let now = Instant::now();
    exchange.finished = Some(now);
    exchange.reason = reason;
    trial.record(reason.map_or(AttemptOutcome::Unjudged, AttemptOutcome::of), now);
    if clean { Next::Close } else { Next::Abort }
}
