//! A WebSocket connection between a client and an upstream, from the handshake to its end.
//!
//! Bytes are copied even if both sides are plain TCP and the kernel could move them: in its pipes
//! the proxy could not see where a frame ends. Each direction has back-pressure and an end of
//! its own. What ends it from here is said by a Close frame to both sides, between two frames of
//! each; then their answers are awaited for a moment.

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::reader::{Data, Filled, Piece, Reading, Trailers};
use super::tunnel::{BrokenSide, Ended, TunnelEnd, verdict};
use super::writer::Writing;
use crate::deadline::{Deadline, jittered};
use crate::drain::Registration;
use crate::error::Reason;
use crate::websocket::Rules;
use crate::websocket::frames::{Frames, close_frame};

/// How long both sides have to close, once one of them or the proxy has sent a Close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// What a tunnel has of its own.
pub struct WebSocketTunnel<'a> {
    pub client_to_upstream: Direction<'a>,
    pub upstream_to_client: Direction<'a>,
    pub deadline: &'a Deadline,
    pub rules: Rules,
    pub random: u64,
    /// Tells when the listener retires, the process drains, or the client is not to be served.
    pub listener: &'a Registration,
    /// Tells when the route is gone.
    pub route: &'a Registration,
}

/// How a tunnel came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// `None` if both sides have closed in order.
    pub reason: Option<Reason>,
    /// Neither side was cut within a frame.
    pub clean: bool,
}

/// When the tunnel ends by itself, and what for.
struct TunnelTimes {
    idle: Instant,
    age: Option<Instant>,
    /// When and why the tunnel ends after it was asked to.
    ending: Option<(Instant, Reason)>,
    /// Close frames are exchanged until then.
    closing: Option<(Instant, Option<Reason>)>,
}

impl TunnelTimes {
    fn next(&self) -> Instant {
        if let Some((until, _)) = self.closing {
            return until;
        }
        let times = [self.age, self.ending.map(|(at, _)| at)];
        times.into_iter().flatten().fold(self.idle, Instant::min)
    }

    fn due(&self, now: Instant) -> Option<Reason> {
        match (self.ending, self.age) {
            (Some((at, reason)), _) if at <= now => Some(reason),
            (_, Some(age)) if age <= now => Some(Reason::MaxAge),
            _ if self.idle <= now => Some(Reason::TunnelIdle),
            _ => None,
        }
    }
}

impl WebSocketTunnel<'_> {
    /// Runs to the end.
    pub async fn run(mut self) -> Finished {
        let begun = Instant::now();
        let mut clock = TunnelTimes {
            idle: begun + self.rules.idle,
            age: self.rules.max_age.map(|age| begun + jittered(age, self.random)),
            ending: None,
            closing: None,
        };
        self.deadline.set(clock.next());
        let finished = std::future::poll_fn(|cx| self.poll(cx, &mut clock)).await;
        if !finished.clean {
            self.client_to_upstream.writing.break_off();
            self.upstream_to_client.writing.break_off();
        }
        finished
    }

    fn poll(&mut self, cx: &mut Context<'_>, clock: &mut TunnelTimes) -> Poll<Finished> {
        loop {
            let mut moved = self.client_to_upstream.poll(cx);
            moved |= self.upstream_to_client.poll(cx);
            let ended = (self.client_to_upstream.ended, self.upstream_to_client.ended);
            if let Some(end) = verdict(ended.0, ended.1) {
                return Poll::Ready(self.finished(end, clock));
            }
            if moved {
                clock.idle = Instant::now() + self.rules.idle;
                self.deadline.set(clock.next());
            }
            self.watch(cx, clock);
            ready!(self.deadline.poll_expired(cx));
            let now = Instant::now();
            match clock.closing {
                Some((until, reason)) if until <= now => {
                    return Poll::Ready(Finished { reason, clean: self.has_sent_closes() });
                }
                Some(_) => {}
                None => {
                    if let Some(reason) = clock.due(now) {
                        self.close();
                        clock.closing = Some((now + CLOSE_PATIENCE, Some(reason)));
                    }
                }
            }
            self.deadline.set(clock.next());
        }
    }

    /// Notices what brings the end nearer.
    fn watch(&self, cx: &Context<'_>, clock: &mut TunnelTimes) {
        if clock.closing.is_some() {
            return;
        }
        if self.both_closed() {
            // Both Close frames have passed: only the close is left.
            clock.closing = Some((Instant::now() + CLOSE_PATIENCE, None));
        } else if clock.ending.is_none() {
            let (reason, most) = if self.listener.poll_draining(cx) {
                // The drain waits for a limited time; the last tunnel needs time for its Close frame.
                let patience = self.listener.patience();
                let most = patience.map_or(Duration::MAX, |patience| patience / 2);
                match self.listener.is_dismissed() {
                    true => (Reason::ClientRevoked, Duration::ZERO),
                    false => (Reason::Draining, most),
                }
            } else if self.route.poll_draining(cx) {
                (Reason::RouteGone, Duration::MAX)
            } else {
                return;
            };
            let wait = spread(self.rules.jitter.min(most), self.random);
            clock.ending = Some((Instant::now() + wait, reason));
        } else {
            return;
        }
        self.deadline.set(clock.next());
    }

    /// Begins to send Close frames, unless a side has sent one.
    fn close(&mut self) {
        let directions = [&mut self.client_to_upstream, &mut self.upstream_to_client];
        if directions.iter().any(|one| one.frames.has_closed()) {
            return;
        }
        for direction in directions {
            direction.close(self.rules.close_code);
        }
    }

    /// Whether both sides have sent a Close frame.
    fn both_closed(&self) -> bool {
        self.client_to_upstream.frames.has_closed() && self.upstream_to_client.frames.has_closed()
    }

    fn finished(&self, end: TunnelEnd, clock: &TunnelTimes) -> Finished {
        let reason = match (clock.closing, end) {
            // The proxy has ended it, whatever the sides do after that.
            (Some((_, Some(reason))), _) => Some(reason),
            // After both Close frames, it does not matter how the sockets end.
            _ if self.both_closed() => None,
            (_, TunnelEnd::Closed) => None,
            (_, TunnelEnd::ClientBroke) => Some(Reason::ClientAborted),
            (_, TunnelEnd::UpstreamBroke) => Some(Reason::UpstreamReset),
            (_, TunnelEnd::Idle | TunnelEnd::Expired) => Some(Reason::Internal),
        };
        Finished { reason, clean: end == TunnelEnd::Closed }
    }

    fn has_sent_closes(&self) -> bool {
        [&self.client_to_upstream, &self.upstream_to_client].iter().all(|one| {
            one.frames.has_closed() || matches!(one.flow, Flow::CloseSent | Flow::Ending)
        })
    }
}

/// A moment within `window`.
fn spread(window: Duration, random: u64) -> Duration {
    window / 1_000 * u32::try_from(random % 1_000).unwrap_or(0)
}

/// Bytes from one side to the other.
pub struct Direction<'a> {
    reading: Reading<'a>,
    writing: Writing<'a>,
    /// Bytes that were taken for the other side.
    counter: &'a Cell<u64>,
    /// With which a Close frame of ours is masked: towards a server.
    mask: Option<[u8; 4]>,
    frames: Frames,
    flow: Flow,
    /// The unsent rest of the proxy's Close frame.
    close_frame_left: SmallVec<[u8; 8]>,
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Bytes pass.
    Open,
    /// They pass until the frame under way has ended.
    Stopping,
    /// The proxy's Close frame is being sent.
    SendingClose,
    /// It has left. Nothing passes any more; what comes is searched for the answer to the one
    /// that was sent the other way.
    CloseSent,
    /// The source has ended; the other side's write end is closed.
    Ending,
}

impl<'a> Direction<'a> {
    pub fn new(
        reading: Reading<'a>,
        writing: Writing<'a>,
        counter: &'a Cell<u64>,
        mask: Option<[u8; 4]>,
    ) -> Self {
        Self {
            reading,
            writing,
            counter,
            mask,
            frames: Frames::default(),
            flow: Flow::Open,
            close_frame_left: SmallVec::new(),
            ended: None,
        }
    }

    fn close(&mut self, code: u16) {
        if self.flow == Flow::Open {
            self.flow = Flow::Stopping;
            self.close_frame_left = close_frame(code, self.mask);
        }
    }

    /// Goes on as far as it can. Whether bytes have moved.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if self.ended.is_none()
            && let Poll::Ready(ended) = self.poll_to_end(cx, &mut moved)
        {
            self.ended = Some(ended);
        }
        moved
    }

    fn poll_to_end(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Ended> {
        loop {
            if self.flow == Flow::Stopping && self.frames.is_between() {
                let closed = self.frames.has_closed();
                self.flow = if closed { Flow::CloseSent } else { Flow::SendingClose };
            }
            match self.flow {
                Flow::Open | Flow::Stopping | Flow::CloseSent => {
                    ready!(self.poll_piece(cx, moved))?
                }
                Flow::SendingClose => {
                    ready!(self.poll_goodbye(cx))?;
                    self.flow = Flow::CloseSent;
                }
                Flow::Ending => {
                    self.writing.end(Trailers::None);
                    return self.writing.poll_close(cx, &mut |_| {}).map_err(|_| BrokenSide::Sink);
                }
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Ended> {
        let Self { reading, writing, frames, .. } = self;
        let mut progress = |count: usize| *moved |= count > 0;
        match reading.piece(&mut None).map_err(|_| BrokenSide::Source)? {
            Piece::End(_) => self.flow = Flow::Ending,
            Piece::Data(data) => {
                let bytes = data.as_slice();
                let part = match self.flow {
                    Flow::Stopping => Data::Slice(&bytes[..frames.rest_of(bytes)]),
                    _ => data,
                };
                let count = if self.flow == Flow::CloseSent {
                    bytes.len()
                } else {
                    let written = writing.poll_data(cx, part, &mut progress);
                    let count = ready!(written).map_err(|_| BrokenSide::Sink)?;
                    self.counter.set(self.counter.get() + count as u64);
                    count
                };
                frames.feed(&bytes[..count]);
                reading.take(&mut None, count);
                progress(count);
            }
            Piece::Starved => {
                ready!(writing.poll_flush(cx, &mut progress)).map_err(|_| BrokenSide::Sink)?;
                if self.flow == Flow::CloseSent && frames.has_closed() {
                    self.flow = Flow::Ending;
                    return Poll::Ready(Ok(()));
                }
                match ready!(reading.poll_fill(cx, &mut None)).map_err(|_| BrokenSide::Source)? {
                    Filled::Some => {}
                    Filled::Eof => reading.finish_on_eof().map_err(|_| BrokenSide::Source)?,
                    Filled::Full => return Poll::Ready(Err(BrokenSide::Source)),
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        while !self.close_frame_left.is_empty() {
            let written =
                self.writing.poll_data(cx, Data::Slice(&self.close_frame_left), &mut |_| {});
            let count = ready!(written).map_err(|_| BrokenSide::Sink)?;
            self.close_frame_left.drain(..count);
        }
        self.writing.poll_flush(cx, &mut |_| {}).map_err(|_| BrokenSide::Sink)
    }
}
