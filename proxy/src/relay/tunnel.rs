//! Forwards bytes in both directions between two connections until both sides have closed.
//!
//! Each direction has back-pressure and an end of its own: a side that has closed may still be
//! sent to. While a side is silent nothing is held for it. Knows neither protocol nor routing.

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::pump::{Halt, Pump, PumpHooks, Wait};
use super::reader::{Http1Body, Reading};
pub use super::spliced::BrokenSide;
use super::writer::{Http1Writing, Wire, Writing};
use crate::buffer::{Buffer, BufferPool};
use crate::cause::Cause;
use crate::deadline::Deadline;
use crate::http1::body::Side;
use crate::io::Io;
use crate::message::Framing;
use crate::pipe::PipePool;

/// Two connections and what moving bytes between them needs.
pub struct Tunnel<'a> {
    pub client: &'a Io,
    pub upstream: &'a Io,
    pub buffers: &'a BufferPool,
    pub pipes: &'a PipePool,
    pub deadline: &'a Deadline,
    /// Without one byte in either direction.
    pub idle: Duration,
    /// The end, however busy it is.
    pub until: Option<Instant>,
    pub counters: &'a Counters,
}

/// Bytes that have arrived on the other side. They stand outside, so that they are known
/// whichever way the tunnel ends.
#[derive(Debug, Default)]
pub struct Counters {
    pub from_client: Cell<u64>,
    pub from_upstream: Cell<u64>,
}

/// What was read of either side before the tunnel began; it goes out first.
#[derive(Default)]
pub struct Early {
    pub from_client: Option<Buffer>,
    pub from_upstream: Option<Buffer>,
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides have closed, and have everything.
    Closed,
    /// The client's connection broke; the upstream's is reset.
    ClientBroke,
    /// The upstream's connection broke; the client's is reset.
    UpstreamBroke,
    Idle,
    /// It has lived for as long as it may; both sides are reset.
    Expired,
}

/// How one direction ended.
pub type Ended = Result<(), BrokenSide>;

impl Tunnel<'_> {
    /// Runs to the end. Dropping it in between leaves both connections as they are.
    pub async fn run(&self, early: Early) -> TunnelEnd {
        let Counters { from_client, from_upstream } = self.counters;
        self.moved(from_client, 0);
        let mut up = Way::new(self, self.client, self.upstream, early.from_client, from_client);
        let mut down =
            Way::new(self, self.upstream, self.client, early.from_upstream, from_upstream);
        let end = std::future::poll_fn(|cx| {
            if let Some(end) = verdict(up.poll(cx), down.poll(cx)) {
                return Poll::Ready(end);
            }
            ready!(self.deadline.poll_expired(cx));
            let expired = self.until.is_some_and(|until| Instant::now() >= until);
            Poll::Ready(if expired { TunnelEnd::Expired } else { TunnelEnd::Idle })
        })
        .await;
        match end {
            TunnelEnd::Closed | TunnelEnd::Idle => {}
            TunnelEnd::ClientBroke => self.upstream.reset_on_close(),
            TunnelEnd::UpstreamBroke => self.client.reset_on_close(),
            TunnelEnd::Expired => self.cut(),
        }
        end
    }

    /// Makes the coming close a reset for both sides: what was under way did not come to its end.
    pub fn cut(&self) {
        self.upstream.reset_on_close();
        self.client.reset_on_close();
    }

    fn moved(&self, counter: &Cell<u64>, count: usize) {
        counter.set(counter.get() + count as u64);
        let idle = Instant::now() + self.idle;
        self.deadline.set(self.until.map_or(idle, |until| until.min(idle)));
    }
}

/// One direction: bytes until their source has closed, then the end for the other side.
struct Way<'a> {
    pump: Pump<'a>,
    bytes: Bytes<'a>,
    /// All has left: what is still to be said is the end.
    emptied: bool,
    ended: Option<Ended>,
}

/// What holds while the bytes of a direction are moved.
struct Bytes<'a> {
    tunnel: &'a Tunnel<'a>,
    counter: &'a Cell<u64>,
}

impl PumpHooks for Bytes<'_> {
    fn took(&mut self, _: &[u8]) -> Result<(), Cause> {
        Ok(())
    }

    fn passed(&mut self, _: usize) {}

    fn left(&mut self, count: usize) {
        self.tunnel.moved(self.counter, count);
    }

    fn moved(&self) -> u64 {
        self.counter.get()
    }

    /// Both directions have one deadline, which moves with the bytes.
    fn wait(&mut self, _: Wait) {}
}

impl<'a> Way<'a> {
    fn new(
        tunnel: &'a Tunnel<'a>,
        from: &'a Io,
        to: &'a Io,
        early: Option<Buffer>,
        counter: &'a Cell<u64>,
    ) -> Self {
        let reading = Reading::Lent {
            io: Wire::Client(from),
            pool: tunnel.buffers.clone(),
            buffer: early,
            body: Http1Body::new(Framing::UntilClose, Side::Response),
        };
        let writing = Http1Writing::new(Wire::Client(to), Vec::new(), Framing::UntilClose);
        let pump = Pump::new(reading, Writing::Http1(writing), tunnel.pipes);
        Self { pump, bytes: Bytes { tunnel, counter }, emptied: false, ended: None }
    }

    /// Goes on as far as it can; how it has ended, once it has.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        if self.ended.is_none()
            && let Poll::Ready(ended) = self.poll_to_end(cx)
        {
            self.ended = Some(ended);
        }
        self.ended
    }

    fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if !self.emptied {
            ready!(self.pump.poll(cx, &mut None, &mut self.bytes)).map_err(|halt| match halt {
                Halt::Sink(_) => BrokenSide::Sink,
                Halt::Malformed(_) | Halt::Refused(_) | Halt::Short | Halt::Full => {
                    BrokenSide::Source
                }
            })?;
            self.emptied = true;
        }
        self.pump.writing.poll_close(cx, &mut |_| {}).map_err(|_| BrokenSide::Sink)
    }
}

/// A side that cannot be read is gone, and so is its tunnel. One that only takes no more may
/// still have something to say, and is heard to its end.
pub fn verdict(up: Option<Ended>, down: Option<Ended>) -> Option<TunnelEnd> {
    match (up, down) {
        (Some(Err(BrokenSide::Source)), _) => Some(TunnelEnd::ClientBroke),
        (_, Some(Err(BrokenSide::Source))) => Some(TunnelEnd::UpstreamBroke),
        (Some(_), Some(Err(BrokenSide::Sink))) => Some(TunnelEnd::ClientBroke),
        (Some(Err(BrokenSide::Sink)), Some(Ok(()))) => Some(TunnelEnd::UpstreamBroke),
        (Some(Ok(())), Some(Ok(()))) => Some(TunnelEnd::Closed),
        (None, _) | (_, None) => None,
    }
}

#[cfg(test)]
mod tests;
