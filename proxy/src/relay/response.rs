//! A response on its way to the client: its head, then its body as it comes.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::Duration;

use super::reader::{Filled, Piece, Reading};
use super::spliced::{Broken, Carried, Spliced};
use super::writer::Writing;
use super::{Stage, Watch, least};
use crate::cause::Cause;
use crate::error::Reason;
use crate::pipe::PipePool;

/// One response between two connections.
pub struct Download<'c> {
    pub reading: Reading<'c>,
    pub writing: Writing<'c>,
    /// How long the upstream may be silent.
    pub upstream_patience: Duration,
    /// How long the client may take nothing.
    pub client_patience: Duration,
    spliced: Spliced<'c>,
    waits: Waits,
    /// Bytes taken by the client since its time began.
    moved: u64,
    /// What it must have taken for its time to begin anew.
    least: u64,
}

#[derive(Debug, Default)]
pub struct DownloadCounters {
    /// Body bytes taken for the client, without their framing.
    pub body: Cell<u64>,
    /// Some byte of the response has left for the client.
    pub begun: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
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
        Self {
            reading,
            writing,
            upstream_patience,
            client_patience,
            spliced: Spliced::new(pipes),
            waits: Waits::Nothing,
            moved: 0,
            least: least(client_patience),
        }
    }

    /// Of a stream of messages: any progress is enough.
    pub fn of_call(self) -> Self {
        Self { least: 1, ..self }
    }

    /// Goes on until the body's own end has been written.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        watch: &Watch<'_>,
        counters: &DownloadCounters,
    ) -> Poll<Result<(), Cause>> {
        let mut moved = 0;
        let mut progress = |count: usize| {
            moved += count as u64;
            counters.begun.set(true);
        };
        let waits = loop {
            match self.reading.piece(&mut None).map_err(of_upstream)? {
                Piece::Data(data) => match self.writing.poll_data(cx, data, &mut progress) {
                    Poll::Ready(Ok(count)) => {
                        self.reading.take(&mut None, count);
                        counters.body.set(counters.body.get() + count as u64);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::ClientAborted.into())),
                    Poll::Pending => break Waits::Client,
                },
                Piece::End(trailers) => {
                    self.writing.end(trailers);
                    match self.writing.poll_flush(cx, &mut progress) {
                        Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                        Poll::Ready(Err(_)) => {
                            return Poll::Ready(Err(Reason::ClientAborted.into()));
                        }
                        Poll::Pending => break Waits::Client,
                    }
                }
                Piece::Starved => {
                    match self.writing.poll_flush(cx, &mut progress) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => {
                            return Poll::Ready(Err(Reason::ClientAborted.into()));
                        }
                        Poll::Pending => break Waits::Client,
                    }
                    let source = self.reading.unread(&None);
                    match self.spliced.poll(cx, source, self.writing.open_end()) {
                        Poll::Ready(Ok(Carried::Some(count))) => {
                            progress(count);
                            self.reading.pass(count);
                            counters.body.set(counters.body.get() + count as u64);
                            self.waits = Waits::Nothing;
                            continue;
                        }
                        Poll::Ready(Ok(Carried::Eof) | Err(Broken::Source)) => {
                            return Poll::Ready(Err(Reason::UpstreamTruncated.into()));
                        }
                        Poll::Ready(Err(Broken::Sink)) => {
                            return Poll::Ready(Err(Reason::ClientAborted.into()));
                        }
                        Poll::Ready(Ok(Carried::Unfit)) => {}
                        Poll::Pending if self.spliced.holds_some() => break Waits::Client,
                        Poll::Pending => break Waits::Upstream,
                    }
                    match self.reading.poll_fill(cx, &mut None) {
                        Poll::Ready(Ok(Filled::Some)) => self.waits = Waits::Nothing,
                        Poll::Ready(Ok(Filled::Eof)) => {
                            self.reading.finish_on_eof().map_err(|_| Reason::UpstreamTruncated)?;
                        }
                        Poll::Ready(Ok(Filled::Full) | Err(_)) => {
                            return Poll::Ready(Err(Reason::UpstreamTruncated.into()));
                        }
                        Poll::Pending => break Waits::Upstream,
                    }
                }
            }
        };
        self.wait(waits, moved, watch);
        Poll::Pending
    }

    /// Sets the deadline of what is waited for. A client's time begins anew only with so many
    /// bytes: one that reads a byte now and then does not hold a connection for ever.
    fn wait(&mut self, waits: Waits, moved: u64, watch: &Watch<'_>) {
        let changed = std::mem::replace(&mut self.waits, waits) != waits;
        match waits {
            Waits::Client => {
                self.moved += moved;
                if changed || self.moved >= self.least {
                    self.moved = 0;
                    watch.expect(Stage::ClientWrite, self.client_patience);
                }
            }
            Waits::Upstream | Waits::Nothing => {
                if changed {
                    watch.expect(Stage::ResponseBody, self.upstream_patience);
                }
            }
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
