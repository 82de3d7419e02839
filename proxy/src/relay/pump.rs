//! Moves a body from a reader to a writer, in either direction and between any two protocols.
//!
//! Nothing more is read until what was read is written, so a body of any length needs one buffer.
//! What differs between bodies (timeouts, errors, counters) is in [`PumpHooks`]. This file knows
//! neither clients nor upstreams, and no deadline.

use std::io;
use std::task::{Context, Poll};

use super::reader::{Filled, Piece, Reading, Rest};
use super::spliced::{BrokenSide, Carried, Spliced};
use super::writer::Writing;
use crate::buffer::HeadBuffer;
use crate::cause::Cause;
use crate::io::Io;
use crate::pipe::PipePool;

/// After this many bytes, a body of unannounced length continues through a kernel pipe, if both
/// sockets are plain TCP. For less, a pipe costs more than it saves.
pub(super) const SPLICE_AFTER: u64 = 64 * 1024;
/// Bytes moved in one turn, so that one body does not starve the others of its worker.
const TURN: usize = 4 * 1024 * 1024;
/// The cost of a step in addition to its bytes, because pieces may be tiny.
const STEP: usize = 64;

/// What the caller of a pump decides and counts.
pub trait PumpHooks {
    /// Whether these bytes may be forwarded. Called again for bytes that the writer did not take.
    fn admit(&mut self, _data: &[u8]) -> Result<(), Cause> {
        Ok(())
    }

    /// The writer has taken these bytes of the body.
    fn took(&mut self, data: &[u8]) -> Result<(), Cause>;

    /// This many bytes of the body went through a kernel pipe.
    fn passed(&mut self, count: usize);

    /// Bytes were sent, including framing and head; 0 for a head without bytes of its own.
    fn left(&mut self, count: usize);

    /// More of the body was read.
    fn filled(&mut self) {}

    /// Whether bytes sent by this writer need not be kept for a retry.
    fn forgets(&self, _writing: &Writing<'_>) -> bool {
        false
    }

    /// Body bytes moved so far.
    fn moved(&self) -> u64;

    /// Nothing moves until this happens.
    fn wait(&mut self, what: Wait);
}

/// What the pump waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Source,
    Sink,
    /// Yields to other tasks, and continues by itself.
    Turn,
}

/// Why a body did not reach its end.
#[derive(Debug)]
pub enum Halt {
    /// The body breaks the rules of its framing, or of a filter.
    Malformed(Cause),
    /// The hooks refused it.
    Refused(Cause),
    /// The source ended early, or broke.
    Short,
    /// What follows the body does not fit into the buffer.
    Full,
    /// The writer's connection takes no more.
    Sink(io::Error),
}

/// One body between two connections.
pub struct Pump<'c> {
    pub reading: Reading<'c>,
    pub writing: Writing<'c>,
    spliced: Spliced<'c>,
}

impl<'c> Pump<'c> {
    pub fn new(reading: Reading<'c>, writing: Writing<'c>, pipes: &'c PipePool) -> Self {
        Self { reading, writing, spliced: Spliced::new(pipes) }
    }

    /// Runs until the whole body is sent. `pinned` is the buffer with the message's head, if the body
    /// is read after it.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pinned: &mut Option<HeadBuffer>,
        policy: &mut impl PumpHooks,
    ) -> Poll<Result<(), Halt>> {
        let mut done = 0;
        while done < TURN {
            let Self { reading, writing, .. } = self;
            let step = match reading.piece(pinned).map_err(Halt::Malformed)? {
                Piece::Data(data) => {
                    policy.admit(data.as_slice()).map_err(Halt::Refused)?;
                    let written = writing.poll_data(cx, data, &mut |count| policy.left(count));
                    match written.map_err(Halt::Sink)? {
                        Poll::Ready(count) => {
                            policy.took(&data.as_slice()[..count]).map_err(Halt::Refused)?;
                            reading.take(pinned, count);
                            count
                        }
                        Poll::Pending => return waits(policy, Wait::Sink),
                    }
                }
                Piece::End(trailers) => {
                    writing.end(trailers);
                    let flushed = writing.poll_flush(cx, &mut |count| policy.left(count));
                    return match flushed.map_err(Halt::Sink)? {
                        Poll::Ready(()) => Poll::Ready(Ok(())),
                        Poll::Pending => waits(policy, Wait::Sink),
                    };
                }
                Piece::Starved => match self.poll_more(cx, pinned, policy)? {
                    Poll::Ready(count) => count,
                    Poll::Pending => return Poll::Pending,
                },
            };
            done += step + STEP;
        }
        cx.waker().wake_by_ref();
        waits(policy, Wait::Turn)
    }

    /// Sends what was read, then waits for more. Returns how many bytes went through a kernel pipe.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        pinned: &mut Option<HeadBuffer>,
        policy: &mut impl PumpHooks,
    ) -> Poll<Result<usize, Halt>> {
        let flushed = self.writing.poll_flush(cx, &mut |count| policy.left(count));
        if flushed.map_err(Halt::Sink)?.is_pending() {
            return waits(policy, Wait::Sink);
        }
        if policy.forgets(&self.writing) {
            self.reading.forget();
            if let Some(buffer) = pinned {
                buffer.forget();
            }
        }
        let source = worth_a_pipe(self.reading.unread(pinned), policy.moved());
        let filled = match self.spliced.poll(cx, source, self.writing.open_end()) {
            Poll::Ready(Ok(Carried::Some(count))) => {
                self.reading.pass(count);
                policy.left(count);
                policy.passed(count);
                return Poll::Ready(Ok(count));
            }
            Poll::Ready(Ok(Carried::Unfit)) => self.reading.poll_fill(cx, pinned),
            Poll::Ready(Ok(Carried::Eof)) => Poll::Ready(Ok(Filled::Eof)),
            Poll::Ready(Err(BrokenSide::Source)) => return Poll::Ready(Err(Halt::Short)),
            Poll::Ready(Err(BrokenSide::Sink)) => {
                return Poll::Ready(Err(Halt::Sink(io::ErrorKind::BrokenPipe.into())));
            }
            Poll::Pending if self.spliced.holds_some() => return waits(policy, Wait::Sink),
            Poll::Pending => Poll::Pending,
        };
        match filled {
            Poll::Ready(Ok(Filled::Some)) => policy.filled(),
            Poll::Ready(Ok(Filled::Eof)) => {
                self.reading.finish_on_eof().map_err(|_| Halt::Short)?;
            }
            Poll::Ready(Ok(Filled::Full)) => return Poll::Ready(Err(Halt::Full)),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Halt::Short)),
            Poll::Pending => return waits(policy, Wait::Source),
        }
        Poll::Ready(Ok(0))
    }
}

/// The connection to splice from, and how many bytes are to come.
fn worth_a_pipe(unread: Option<(&Io, Rest)>, moved: u64) -> Option<(&Io, u64)> {
    match unread? {
        (io, Rest::Exactly(count)) => Some((io, count)),
        (io, Rest::UntilClose) if moved >= SPLICE_AFTER => Some((io, u64::MAX)),
        (_, Rest::UntilClose) => None,
    }
}

fn waits<T>(policy: &mut impl PumpHooks, what: Wait) -> Poll<T> {
    policy.wait(what);
    Poll::Pending
}

#[cfg(test)]
mod tests;
