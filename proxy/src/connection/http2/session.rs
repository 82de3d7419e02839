//! A client's connection of HTTP/2 between two of its streams: what comes next on it, and when it
//! ends.
//!
//! Sees only what frames cost (the meter), no request.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::Connection;
use tokio::time::Instant;

use super::SharedClient;
use super::streams::Streams;
use crate::client::Client;
use crate::http2::Stream;
use crate::http2::meter::Meter;
use crate::http2::metered::Metered;
use crate::http2::transport::Transport;
use crate::observe::failure::Failure;

/// How long a client has to read and answer a GOAWAY.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What comes next on a connection: a stream, or its end with what was wrong with the client, if
/// anything was.
pub(super) type NextStream = ControlFlow<Option<ClientError>, Stream>;

/// A connection between two of its streams.
pub(super) struct Session<'a> {
    connection: Connection<Metered<Transport<SharedClient>>, Bytes>,
    client: &'a Client,
    meter: Rc<RefCell<Meter>>,
    pub(super) streams: Rc<Streams>,
    phase: Phase,
    /// How long a head may take, and when that is over for one that has begun.
    head: Duration,
    late: Option<Instant>,
    idle: Duration,
    /// A request has come.
    begun: bool,
    /// When the connection began; later, when GOAWAY was sent.
    last_notice: Instant,
    /// Bytes that had gone to the client when that was last looked at, and when it last changed.
    sent: u64,
    moved: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// GOAWAY is sent; streams that the client opened before it arrives are still taken.
    Leaving,
    /// The time for that has passed: streams that the client still opens are refused.
    Left,
    /// The client sent too many useless frames: GOAWAY is sent, and may take a moment to leave.
    Flooded,
    /// The same, because a head took too long.
    Slow,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        connection: Connection<Metered<Transport<SharedClient>>, Bytes>,
        client: &'a Client,
        meter: Rc<RefCell<Meter>>,
        head: Duration,
        idle: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            connection,
            client,
            meter,
            streams: Rc::default(),
            phase: Phase::Open,
            head,
            late: None,
            idle,
            begun: false,
            last_notice: now,
            sent: 0,
            moved: now,
        }
    }

    /// Moves the connection on until a request is there, or its end.
    pub(super) fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<NextStream> {
        self.client.registration.listen(cx);
        if self.client.deadline.is_cut() && !self.is_sent_away() {
            return Poll::Ready(ControlFlow::Break(None));
        }
        self.client.deadline.moves();
        if self.phase == Phase::Open && self.is_to_leave() {
            self.leave();
        }
        if self.phase == Phase::Leaving && self.client.registration.is_dismissed() {
            self.phase = Phase::Left;
        }
        loop {
            let polled = self.connection.poll_accept(cx);
            if !self.is_sent_away() && self.meter.borrow().is_spent() {
                self.send_away(Phase::Flooded);
                continue;
            }
            match polled {
                // Streams that came with a flood are not begun.
                Poll::Ready(Some(Ok(_))) if self.is_sent_away() => continue,
                Poll::Ready(Some(Ok((_, mut respond)))) if self.phase == Phase::Left => {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                    continue;
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (head, body) = request.into_parts();
                    self.begun = true;
                    return Poll::Ready(ControlFlow::Continue(Stream { head, body, respond }));
                }
                Poll::Ready(Some(Err(error))) => {
                    let broken = || ClientError::of(&error, &self.meter.borrow());
                    return Poll::Ready(ControlFlow::Break(self.verdict().or_else(broken)));
                }
                Poll::Ready(None) => return Poll::Ready(ControlFlow::Break(self.verdict())),
                Poll::Pending => {}
            }
            let handled = self.streams.any(cx);
            let late = self.head_until();
            match self.phase {
                Phase::Flooded | Phase::Slow => {}
                _ if late.is_some() => late.into_iter().for_each(|at| self.client.deadline.set(at)),
                Phase::Left if handled => return Poll::Pending,
                // A client that reads no response and sends no request is not waited for.
                Phase::Open if !handled && self.streams.stood_still.get() => {
                    self.leave();
                    continue;
                }
                Phase::Open => {
                    let idle = (!handled).then(|| self.patience(self.idle));
                    match idle.into_iter().chain(self.client.ends_at).min() {
                        Some(until) => self.client.deadline.set(until),
                        None => return Poll::Pending,
                    }
                }
                Phase::Leaving | Phase::Left if !handled => {
                    let until = self.patience(LAST_WORDS);
                    self.client.deadline.set(until);
                }
                Phase::Leaving | Phase::Left => {}
            }
            if self.client.deadline.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            match self.phase {
                _ if late.is_some() && !self.is_sent_away() => {
                    self.send_away(Phase::Slow);
                    continue;
                }
                Phase::Open if self.client.is_aged() || !self.connection.has_streams() => {
                    self.leave()
                }
                Phase::Leaving if handled => {
                    self.phase = Phase::Left;
                    return Poll::Pending;
                }
                // The client reads no response, or does not answer the last ping.
                _ => return Poll::Ready(ControlFlow::Break(self.verdict())),
            }
        }
    }

    /// While memory is short, GOAWAY follows the first response, never precedes it.
    fn is_to_leave(&self) -> bool {
        let registration = &self.client.registration;
        registration.is_ending() && (self.begun || registration.is_draining())
    }

    /// Until when the connection may be quiet now that no stream is being handled.
    fn patience(&mut self, quiet: Duration) -> Instant {
        let since = self.client.quiet_since.get().max(self.last_notice);
        if self.connection.has_streams() {
            // The last bytes of responses stand inside the connection: as long as the client
            // takes some, it is not quiet.
            let sent = self.meter.borrow().sent();
            if std::mem::replace(&mut self.sent, sent) != sent {
                self.moved = Instant::now();
            }
            since.max(self.moved) + self.client.patience
        } else {
            since + quiet
        }
    }

    /// Until when the rest of a head that has begun may come.
    fn head_until(&mut self) -> Option<Instant> {
        if !self.meter.borrow().is_in_head() {
            self.late = None;
        } else if self.late.is_none() {
            self.late = Some(Instant::now() + self.head);
        }
        self.late
    }

    fn verdict(&self) -> Option<ClientError> {
        let (_, dearest) = self.meter.borrow().last_frames();
        match self.phase {
            Phase::Flooded => Some(ClientError {
                failure: Failure::Flood,
                cause: format!("too many frames that lead to nothing, at last {dearest}"),
            }),
            Phase::Slow => Some(ClientError {
                failure: Failure::SlowHead,
                cause: format!("a head was not whole within {:?}", self.head),
            }),
            Phase::Open | Phase::Leaving | Phase::Left => None,
        }
    }

    fn is_sent_away(&self) -> bool {
        matches!(self.phase, Phase::Flooded | Phase::Slow)
    }

    /// Ends every stream at once with GOAWAY; the client has a moment to read it.
    fn send_away(&mut self, phase: Phase) {
        self.phase = phase;
        self.connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        self.client.deadline.set(Instant::now() + LAST_WORDS);
    }

    /// Sends GOAWAY; open streams run to their end.
    fn leave(&mut self) {
        self.phase = Phase::Leaving;
        self.connection.graceful_shutdown();
        self.last_notice = Instant::now();
        let patience = self.client.registration.grace().max(LAST_WORDS);
        self.client.deadline.set(self.last_notice + patience);
    }
}

/// Why a client's connection was broken off.
pub(super) struct ClientError {
    pub(super) failure: Failure,
    pub(super) cause: String,
}

impl ClientError {
    /// The client's error for which the library ends the connection; `None` if the client left.
    pub(super) fn of(error: &h2::Error, meter: &Meter) -> Option<Self> {
        let failure = match error.reason() {
            _ if !error.is_library() => return None,
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Failure::Flood,
            _ => Failure::Protocol,
        };
        let (last, _) = meter.last_frames();
        Some(Self { failure, cause: format!("{error}; the client's last frame was {last}") })
    }
}
