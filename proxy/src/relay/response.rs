//! Sends a response to the client: its head, then its body as it arrives.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::Duration;

use super::pump::{Halt, Pump, PumpHooks, Wait};
use super::reader::Reading;
use super::writer::Writing;
use super::{WaitStage, Watch, least};
use crate::cause::Cause;
use crate::error::Reason;
use crate::pipe::PipePool;

/// One response between two connections.
pub struct Download<'c> {
    pub pump: Pump<'c>,
    patience: Patience,
}

/// How long each side may make no progress, and how far the response is sent.
struct Patience {
    /// How long the upstream may be silent.
    upstream: Duration,
    /// How long the client may read nothing.
    client: Duration,
    waits: DownloadWait,
    /// Bytes read by the client since its timeout started.
    moved: u64,
    /// The bytes that restart its timeout.
    least: u64,
}

#[derive(Debug, Default)]
pub struct DownloadCounters {
    /// Body bytes taken for the client, without their framing.
    pub body: Cell<u64>,
    /// A byte of the response was sent to the client.
    pub begun: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DownloadWait {
    Nothing,
    Upstream,
    Client,
}

impl<'c> Download<'c> {
    pub fn new(
        reading: Reading<'c>,
        writing: Writing<'c>,
        pipes: &'c PipePool,
        upstream_patience: Duration,
        client_patience: Duration,
    ) -> Self {
        let patience = Patience {
            upstream: upstream_patience,
            client: client_patience,
            waits: DownloadWait::Nothing,
            moved: 0,
            least: least(client_patience),
        };
        Self { pump: Pump::new(reading, writing, pipes), patience }
    }

    /// For a stream of messages, any progress is enough.
    pub fn of_call(mut self) -> Self {
        self.patience.least = 1;
        self
    }

    /// Runs until the end of the body is written.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        watch: &Watch<'_>,
        counters: &DownloadCounters,
    ) -> Poll<Result<(), Cause>> {
        let mut policy = FromUpstream { patience: &mut self.patience, watch, counters, moved: 0 };
        self.pump.poll(cx, &mut None, &mut policy).map_err(blame)
    }
}

fn blame(halt: Halt) -> Cause {
    match halt {
        Halt::Malformed(cause) => of_upstream(cause),
        Halt::Refused(cause) => cause,
        Halt::Short | Halt::Full => Reason::UpstreamTruncated.into(),
        Halt::Sink(_) => Reason::ClientAborted.into(),
    }
}

/// The state while a response is sent.
struct FromUpstream<'a, 'w> {
    patience: &'a mut Patience,
    watch: &'a Watch<'w>,
    counters: &'a DownloadCounters,
    /// Bytes sent since the last wait.
    moved: u64,
}

impl PumpHooks for FromUpstream<'_, '_> {
    fn took(&mut self, data: &[u8]) -> Result<(), Cause> {
        self.counters.body.set(self.counters.body.get() + data.len() as u64);
        Ok(())
    }

    fn passed(&mut self, count: usize) {
        self.counters.body.set(self.counters.body.get() + count as u64);
        self.patience.waits = DownloadWait::Nothing;
    }

    fn left(&mut self, count: usize) {
        self.moved += count as u64;
        self.counters.begun.set(true);
    }

    fn filled(&mut self) {
        self.patience.waits = DownloadWait::Nothing;
    }

    fn moved(&self) -> u64 {
        self.counters.body.get()
    }

    /// Sets the deadline of a wait. A client's timeout restarts only after a number of bytes, so that a
    /// client that reads a byte now and then cannot hold a connection for ever.
    fn wait(&mut self, what: Wait) {
        let waits = match what {
            Wait::Sink => DownloadWait::Client,
            Wait::Source | Wait::Turn => DownloadWait::Upstream,
        };
        let Patience { upstream, client, least, .. } = *self.patience;
        let changed = std::mem::replace(&mut self.patience.waits, waits) != waits;
        if waits == DownloadWait::Upstream {
            if changed {
                self.watch.expect(WaitStage::ResponseBody, upstream);
            }
            return;
        }
        self.patience.moved += std::mem::take(&mut self.moved);
        if changed || self.patience.moved >= least {
            self.patience.moved = 0;
            self.watch.expect(WaitStage::ClientWrite, client);
        }
    }
}

fn of_upstream(cause: Cause) -> Cause {
    let reason = match cause.reason {
        Reason::HeadTooLarge | Reason::UpstreamHeadTooLarge => Reason::UpstreamHeadTooLarge,
        _ => Reason::UpstreamProtocol,
    };
    Cause { reason, ..cause }
}
