//! Bytes both ways between two connections, unread, until both sides have said goodbye.
//!
//! Each direction has back-pressure and an end of its own: a side that has closed may still be
//! sent to. While a side is silent nothing is held for it. Knows neither protocol nor routing.

use std::cell::Cell;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::read_some;
pub use super::spliced::Broken;
use super::spliced::{Carried, Spliced};
use crate::buffer::{Buffer, BufferPool};
use crate::deadline::Deadline;
use crate::io::Io;
use crate::pipe::PipePool;

/// A direction that has carried so much goes on through a pipe, if both sockets are plain TCP:
/// small exchanges are not worth one.
const SPLICE_AFTER: u64 = 64 * 1024;

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
pub enum End {
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
pub type Ended = Result<(), Broken>;

impl Tunnel<'_> {
    /// Runs to the end. Dropping it in between leaves both connections as they are.
    pub async fn run(&self, early: Early) -> End {
        let Counters { from_client, from_upstream } = self.counters;
        self.moved(from_client, 0);
        let up = self.pump(self.client, self.upstream, early.from_client, from_client);
        let down = self.pump(self.upstream, self.client, early.from_upstream, from_upstream);
        let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
        let (mut up_ended, mut down_ended): (Option<Ended>, Option<Ended>) = (None, None);
        let end = std::future::poll_fn(|cx| {
            if up_ended.is_none()
                && let Poll::Ready(ended) = up.as_mut().poll(cx)
            {
                up_ended = Some(ended);
            }
            if down_ended.is_none()
                && let Poll::Ready(ended) = down.as_mut().poll(cx)
            {
                down_ended = Some(ended);
            }
            if let Some(end) = verdict(up_ended, down_ended) {
                return Poll::Ready(end);
            }
            ready!(self.deadline.poll_expired(cx));
            let expired = self.until.is_some_and(|until| Instant::now() >= until);
            Poll::Ready(if expired { End::Expired } else { End::Idle })
        })
        .await;
        match end {
            End::Closed | End::Idle => {}
            End::ClientBroke => self.upstream.reset_on_close(),
            End::UpstreamBroke => self.client.reset_on_close(),
            End::Expired => self.cut(),
        }
        end
    }

    /// Makes the coming close a reset for both sides: what was under way did not come to its end.
    pub fn cut(&self) {
        self.upstream.reset_on_close();
        self.client.reset_on_close();
    }

    async fn pump(&self, from: &Io, to: &Io, early: Option<Buffer>, counter: &Cell<u64>) -> Ended {
        let mut slot = early;
        let mut spliced = Spliced::new(self.pipes);
        loop {
            if let Some(buffer) = slot.take() {
                let written =
                    to.write_all(buffer.filled(), b"", |count| self.moved(counter, count));
                written.await.map_err(|_| Broken::Sink)?;
            }
            if counter.get() >= SPLICE_AFTER {
                let (source, sink) = (Some((from, u64::MAX)), Some(to));
                match std::future::poll_fn(|cx| spliced.poll(cx, source, sink)).await? {
                    Carried::Some(count) => {
                        self.moved(counter, count);
                        continue;
                    }
                    Carried::Eof => break,
                    Carried::Unfit => {}
                }
            }
            let read = read_some(from, self.buffers, &mut slot).await;
            if read.map_err(|_| Broken::Source)? == 0 {
                break;
            }
        }
        drop(slot);
        to.shutdown().await.map_err(|_| Broken::Sink)
    }

    fn moved(&self, counter: &Cell<u64>, count: usize) {
        counter.set(counter.get() + count as u64);
        let idle = Instant::now() + self.idle;
        self.deadline.set(self.until.map_or(idle, |until| until.min(idle)));
    }
}

/// A side that cannot be read is gone, and so is its tunnel. One that only takes no more may
/// still have something to say, and is heard to its end.
pub fn verdict(up: Option<Ended>, down: Option<Ended>) -> Option<End> {
    match (up, down) {
        (Some(Err(Broken::Source)), _) => Some(End::ClientBroke),
        (_, Some(Err(Broken::Source))) => Some(End::UpstreamBroke),
        (Some(_), Some(Err(Broken::Sink))) => Some(End::ClientBroke),
        (Some(Err(Broken::Sink)), Some(Ok(()))) => Some(End::UpstreamBroke),
        (Some(Ok(())), Some(Ok(()))) => Some(End::Closed),
        (None, _) | (_, None) => None,
    }
}

#[cfg(test)]
mod tests;
