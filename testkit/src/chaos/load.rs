//! Constant load in every protocol: when each request falls due, and who sends it.
//!
//! It judges nothing but what one request is answered with; what is excused is the ledger's.

mod call;
mod http1;
mod http2;
mod tunnel;
mod websocket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::ledger::{Ending, Ledger};
use super::random::Random;
use super::wish::Wish;
use crate::client::Tls;
use crate::http::Response;

/// An answer that takes longer than this never came: beyond every timeout of the proxy.
const HANG: Duration = Duration::from_secs(15);
/// Requests of one protocol under way at once. Its being reached is a hang of its own kind.
const UNDER_WAY: usize = 600;

/// Where the gateway is.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) plain: SocketAddr,
    pub(super) secure: SocketAddr,
    /// How to reach `secure`, without ALPN.
    pub(super) tls: Tls,
}

impl Doors {
    fn with_protocol(&self, protocol: &[u8]) -> Tls {
        let mut config = (*self.tls.config).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Tls { name: self.tls.name.clone(), config: Arc::new(config) }
    }
}

/// Who can send a request of some protocol.
#[derive(Clone)]
enum Sender {
    Http1(Arc<http1::Pool>),
    Http2(Arc<http2::Channel>),
    Call(Arc<http2::Channel>),
    WebSocket(Arc<websocket::Door>),
    WebSocketStream(Arc<http2::Channel>),
}

/// A load that runs until it is stopped.
pub(super) struct Load {
    stop: watch::Sender<bool>,
    streams: Vec<JoinHandle<()>>,
}

impl Load {
    /// `rate` is that of all protocols together, in requests per second. `name` makes ids that no
    /// other load of the run has.
    pub(super) fn start(
        name: &str,
        seed: u64,
        rate: f64,
        doors: &Doors,
        ledger: &Arc<Ledger>,
    ) -> Self {
        let (h1, h2) = (doors.with_protocol(b"http/1.1"), doors.with_protocol(b"h2"));
        let pool = |address, tls| Sender::Http1(Arc::new(http1::Pool::new(address, tls)));
        let door = |address, tls| {
            let door = websocket::Door { address, tls };
            Sender::WebSocket(Arc::new(door))
        };
        let plain = Arc::new(http2::Channel::new(doors.plain, None));
        let secure = Arc::new(http2::Channel::new(doors.secure, Some(h2)));
        let streams = [
            ("http1", 0.2, pool(doors.plain, None)),
            ("http1-tls", 0.15, pool(doors.secure, Some(h1.clone()))),
            ("h2c", 0.2, Sender::Http2(Arc::clone(&plain))),
            ("h2-tls", 0.15, Sender::Http2(Arc::clone(&secure))),
            ("call", 0.05, Sender::Call(Arc::clone(&plain))),
            ("call-tls", 0.05, Sender::Call(Arc::clone(&secure))),
            ("ws-h2c", 0.05, Sender::WebSocketStream(plain)),
            ("ws-h2-tls", 0.05, Sender::WebSocketStream(secure)),
            ("ws", 0.05, door(doors.plain, None)),
            ("ws-tls", 0.05, door(doors.secure, Some(h1))),
        ];
        let (stop, stopped) = watch::channel(false);
        let streams = streams.into_iter().map(|(stream, share, sender)| {
            let stream = format!("{name}-{stream}");
            let random = Random::of(seed, &stream);
            let period = Duration::from_secs_f64(1.0 / (rate * share));
            let (stopped, ledger) = (stopped.clone(), Arc::clone(ledger));
            tokio::spawn(pace(stream, random, period, sender, stopped, ledger))
        });
        Self { stop, streams: streams.collect() }
    }

    /// Sends nothing more, and waits for the last answers.
    pub(super) async fn finish(self) {
        let _ = self.stop.send(true);
        for stream in self.streams {
            let _ = stream.await;
        }
    }
}

async fn pace(
    stream: String,
    mut random: Random,
    period: Duration,
    sender: Sender,
    mut stopped: watch::Receiver<bool>,
    ledger: Arc<Ledger>,
) {
    let mut due = interval(period);
    // What fell due while this side was slow is still sent: the schedule is the seed's.
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut under_way = JoinSet::new();
    for number in 0.. {
        tokio::select! {
            _ = due.tick() => {}
            _ = stopped.wait_for(|stop| *stop) => break,
        }
        while under_way.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            ledger.violate(format!("{UNDER_WAY} requests of {stream} are under way at once"));
            break;
        };
        let mut wish = Wish::draw(&mut random, &stream, number);
        match &sender {
            Sender::Call(_) => wish.upstream = wish.upstream.that_speaks_http2(true),
            // They are asked for by HTTP/1 wherever they go.
            Sender::WebSocket(_) | Sender::WebSocketStream(_) => {
                wish.upstream = wish.upstream.that_speaks_http2(false);
            }
            _ => {}
        }
        let (sender, ledger) = (sender.clone(), Arc::clone(&ledger));
        under_way.spawn(async move {
            ledger.sent();
            let sent = Instant::now();
            let attempt = async {
                match &sender {
                    Sender::Http1(pool) => pool.send(&wish, number).await,
                    Sender::Http2(channel) => channel.send(&wish).await,
                    Sender::Call(channel) => call::make(channel, &wish).await,
                    Sender::WebSocket(door) => door.talk(&wish).await,
                    Sender::WebSocketStream(channel) => {
                        websocket::talk_on_stream(channel, &wish).await
                    }
                }
            };
            let ending = timeout(HANG, Box::pin(attempt)).await;
            let ending = ending.unwrap_or_else(|_| Ending::Wrong(format!("hangs for {HANG:?}")));
            ledger.ended(&wish.id, wish.upstream, sent, ending);
            drop(permit);
        });
    }
    while under_way.join_next().await.is_some() {}
}

/// A connection of HTTP/2 without TLS, for clients of another kind.
pub(super) async fn connect_http2(address: SocketAddr) -> io::Result<SendRequest<Bytes>> {
    http2::connect(address, None).await
}

/// What a whole answer is.
fn judge(wish: &Wish, status: u16, echo: &str, received: &str, body: &[u8]) -> Ending {
    if status != 200 {
        return problem(status, body);
    }
    match wish.judge(echo, received, body) {
        Ok(()) => Ending::Right,
        Err(text) => Ending::Wrong(text),
    }
}

fn judge_response(wish: &Wish, response: &Response) -> Ending {
    let header = |name| response.headers.first(name).unwrap_or_default();
    let (echo, received) = (header(super::wish::ECHO), header(super::wish::RECEIVED));
    judge(wish, response.status, echo, received, &response.body)
}

/// An error is declared when the proxy says which.
fn problem(status: u16, body: &[u8]) -> Ending {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match (value["reason"].as_str(), value["status"].as_u64()) {
        (Some(reason), Some(said)) if said == u64::from(status) => {
            Ending::Reason { status, reason: reason.to_owned() }
        }
        _ => Ending::Wrong(format!("{status} without a reason: {}", String::from_utf8_lossy(body))),
    }
}
