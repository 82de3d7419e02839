//! Moves bodies from one side to the other.
//!
//! Streaming with back-pressure: nothing more is read until what was read is written, so a body of
//! any length needs one buffer. Knows framing, not routing.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::buffer::{Buffer, BufferPool};
use crate::cause::{Cause, Rule};
use crate::deadline::Deadline;
use crate::error::Reason;
use crate::io::Io;

pub mod filter;
pub mod http2_body;
mod http2_writing;
pub mod messages;
pub mod pump;
pub mod reader;
pub mod request;
pub mod response;
pub mod spliced;
pub mod tunnel;
pub mod websocket;
pub mod writer;

/// What an exchange is waiting for, so that an expired deadline has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitStage {
    ClientBody,
    UpstreamWrite,
    ResponseHead,
    ResponseBody,
    ClientWrite,
}

impl WaitStage {
    pub fn timeout(self) -> Cause {
        match self {
            Self::ClientBody => Reason::BodyTimeout.into(),
            Self::UpstreamWrite => Rule::UpstreamWriteTimeout.in_response(),
            Self::ResponseHead => Reason::UpstreamTimeout.into(),
            Self::ResponseBody => Reason::UpstreamIdle.into(),
            Self::ClientWrite => Reason::ClientSlow.into(),
        }
    }
}

/// A peer below this rate, in bytes per second, counts as making no progress.
const SLOWEST: u64 = 100;

/// The bytes that restart `patience`.
pub(crate) fn least(patience: Duration) -> u64 {
    (patience.as_secs() * SLOWEST).max(1)
}

/// The deadline of an exchange, and what it currently waits for.
pub struct Watch<'a> {
    pub deadline: &'a Deadline,
    pub stage: Cell<WaitStage>,
    /// The last deadline, whatever makes progress.
    end: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub fn new(deadline: &'a Deadline, end: Option<Instant>) -> Self {
        Self { deadline, stage: Cell::new(WaitStage::ResponseHead), end }
    }

    /// From now on `stage` has `patience` to make progress.
    pub fn expect(&self, stage: WaitStage, patience: Duration) {
        self.stage.set(stage);
        self.set(Instant::now() + patience);
    }

    fn set(&self, until: Instant) {
        self.deadline.set(self.end.map_or(until, |end| end.min(until)));
    }

    /// Why the exchange ends when the deadline has passed.
    pub fn timeout(&self) -> Cause {
        match self.end {
            _ if self.deadline.is_cut() => Reason::MemoryLimit.into(),
            Some(end) if end <= Instant::now() => Reason::Deadline.into(),
            _ => self.stage.get().timeout(),
        }
    }

    /// The same for the side that sends the request. Once the response has begun, its waits decide:
    /// they fail only if both sides make no progress.
    pub fn expect_upload(&self, stage: WaitStage, until: Instant) {
        if self.is_answered() {
            if until > self.deadline.wanted() {
                self.set(until);
            }
        } else {
            self.stage.set(stage);
            self.set(until);
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self.stage.get(), WaitStage::ResponseBody | WaitStage::ClientWrite)
    }
}

/// Reads once, holding a buffer only while there is something to put into it.
///
/// 0 bytes mean that the peer has closed its side.
pub async fn read_some(io: &Io, pool: &BufferPool, slot: &mut Option<Buffer>) -> io::Result<usize> {
    std::future::poll_fn(|cx| poll_read_some(cx, io, pool, slot)).await
}

fn poll_read_some(
    cx: &mut Context<'_>,
    io: &Io,
    pool: &BufferPool,
    slot: &mut Option<Buffer>,
) -> Poll<io::Result<usize>> {
    ready!(io.poll_readable(cx))?;
    let buffer = slot.get_or_insert_with(|| pool.take());
    buffer.compact();
    match io.poll_read(cx, buffer.spare()) {
        Poll::Ready(Ok(count)) => {
            buffer.commit(count);
            Poll::Ready(Ok(count))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => {
            if buffer.is_empty() {
                *slot = None;
            }
            Poll::Pending
        }
    }
}
