//! One open feed, from its first word to its last.
//!
//! It sends what its account was told after a place, in order, without a gap and without a
//! repeat; it reads from the client nothing but signs of life. It trusts its seat for the account
//! and knows no tokens, only when the one it was opened with ends.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message as Frame, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use shop_platform::{Clock, UnixTime};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::feed::Ending;
use crate::feed::seats::Seat;
use crate::messages::Messages;
use crate::notification::Notification;

/// Messages that may wait for a client whose connection takes nothing.
pub(crate) const WAITING_LIMIT: i64 = 64;
/// Missed messages that a client gets on connecting; for older ones there is the API.
pub(crate) const REPLAY_LIMIT: i64 = 500;
/// Messages read at once.
const PAGE: u32 = 64;
/// How long the last frame and the client's answer to it may take.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// The clock is injected and may be set: it is asked again so often.
const CLOCK_LOOK: Duration = Duration::from_millis(500);

/// How a feed finds out that nobody is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeat {
    pub(crate) every: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { every: Duration::from_secs(30) }
    }
}

pub(crate) struct Session {
    pub(crate) seat: Seat,
    pub(crate) messages: Messages,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) heartbeat: Heartbeat,
    /// When the client's token ends.
    pub(crate) expires_at: UnixTime,
    /// Messages up to here are known to the client; `None` for one who asks for new ones only.
    pub(crate) after: Option<i64>,
}

/// What a client reads: one JSON object a frame.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told {
    /// From here on nothing is missed.
    Ready,
    /// So many messages between the one the client named and the next that it gets.
    Gap {
        missed: i64,
    },
    Notification(Notification),
}

type Sink = SplitSink<WebSocket, Frame>;
type Stream = SplitStream<WebSocket>;

impl Session {
    pub(crate) async fn run(self, socket: WebSocket) -> Ending {
        let (mut sink, mut stream) = socket.split();
        let silence = self.heartbeat.every * 2;
        // A stop and an expiry are seen also while the client takes nothing.
        let ending = tokio::select! {
            biased;
            () = self.seat.stopped() => Ending::Stopping,
            () = self.expired() => Ending::TokenExpired,
            ending = listen(&mut stream, silence) => ending,
            ending = self.tell(&mut sink) => ending,
        };
        if let Some(frame) = ending.frame() {
            let farewell = async {
                if sink.send(Frame::Close(Some(frame))).await.is_ok() {
                    // Until the client closes too: who hangs up first may lose the last word.
                    while let Some(Ok(_)) = stream.next().await {}
                }
            };
            drop(timeout(CLOSE_GRACE, farewell).await);
        } else {
            // The answer to the client's own farewell leaves with the next read.
            drop(timeout(CLOSE_GRACE, async { while stream.next().await.is_some() {} }).await);
        }
        ending
    }

    async fn expired(&self) {
        loop {
            let left = self.expires_at.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(CLOCK_LOOK)).await;
        }
    }

    /// Tells until the client has gone or is too slow.
    async fn tell(&self, sink: &mut Sink) -> Ending {
        match self.tell_all(sink).await {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    }

    async fn tell_all(&self, sink: &mut Sink) -> Result<std::convert::Infallible, Ending> {
        let failed = |error: sqlx::Error| {
            tracing::error!(%error, "a feed cannot read its messages");
            Ending::Failed
        };
        // The seat is taken: whatever is added from here on changes `latest`.
        let mut latest = self.seat.latest.clone();
        let newest = self.messages.latest(self.seat.account).await.map_err(failed)?;
        self.seat.tell(newest);
        let mut at = self.after.unwrap_or(newest);
        // What was there before does not count as waiting: nobody can be slow before the start.
        let mut teller = Teller { sink, latest: self.seat.latest.clone(), begun_at: newest };
        teller.send(at, &Told::Ready).await?;
        if newest - at > REPLAY_LIMIT {
            let missed = newest - at - REPLAY_LIMIT;
            at += missed;
            teller.send(at, &Told::Gap { missed }).await?;
        }
        let mut beat = interval_at(Instant::now() + self.heartbeat.every, self.heartbeat.every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let known = *latest.borrow_and_update();
            while at < known {
                let page = self.messages.after(self.seat.account, at, PAGE);
                let page = page.await.map_err(failed)?;
                if page.is_empty() {
                    break;
                }
                for message in page {
                    let place = message.sequence;
                    teller.send(at, &Told::Notification(message.into())).await?;
                    at = place;
                }
            }
            tokio::select! {
                // The seat keeps the sender alive.
                _ = latest.changed() => {}
                _ = beat.tick() => teller.frame(at, Frame::Ping(Vec::new().into())).await?,
            }
        }
    }
}

/// The writing half, with an eye on what piles up behind a frame that does not leave.
struct Teller<'a> {
    sink: &'a mut Sink,
    latest: watch::Receiver<i64>,
    begun_at: i64,
}

impl Teller<'_> {
    async fn send(&mut self, at: i64, told: &Told) -> Result<(), Ending> {
        let text = serde_json::to_string(told).map_err(|error| {
            tracing::error!(%error, "a message could not be written as JSON");
            Ending::Failed
        })?;
        self.frame(at, Frame::Text(text.into())).await
    }

    /// `at`: the place up to which the client has everything.
    async fn frame(&mut self, at: i64, frame: Frame) -> Result<(), Ending> {
        let begun = at.max(self.begun_at);
        tokio::select! {
            // The frame first: only one that does not leave at once makes a reader slow.
            biased;
            sent = self.sink.send(frame) => sent.map_err(|_| Ending::Left),
            _ = self.latest.wait_for(|latest| latest - begun >= WAITING_LIMIT) => Err(Ending::Slow),
        }
    }
}

/// Reads signs of life until there are none, or something that does not belong here.
async fn listen(stream: &mut Stream, silence: Duration) -> Ending {
    loop {
        match timeout(silence, stream.next()).await {
            Err(_) => return Ending::Silent,
            Ok(Some(Ok(Frame::Ping(_) | Frame::Pong(_)))) => {}
            Ok(Some(Ok(Frame::Text(_) | Frame::Binary(_)))) => return Ending::Spoke,
            Ok(Some(Ok(Frame::Close(_)) | Err(_)) | None) => return Ending::Left,
        }
    }
}
