//! What a client's frames cost against what its connection achieves, so that a flood of frames
//! that lead to nothing has an end.
//!
//! Knows the nine bytes before every frame, in both directions, and no byte behind them.

use tokio::time::Instant;

use super::frame::{self, DATA, END_HEADERS, END_STREAM, Frame, HEADER, HEADERS};
use super::income::Income;

/// What a connection may spend at once; it never has more.
const FULL: u32 = 10_000;
/// What time alone gives back each second: no slow client is ever a flood.
const PER_SECOND: u32 = 100;

/// A reset may have cost an upstream a request: 200 of them in a row, and no more.
const RESET: u32 = 50;
/// Everything that both sides know of each other is looked through, and an answer is due.
const SETTINGS: u32 = 20;
/// A head in pieces, which no client needs below 16 KiB.
const CONTINUATION: u32 = 10;
/// An answer is due.
const PING: u32 = 2;
/// Unknown frames, and GOAWAY.
const ODD: u32 = 5;
/// Frames that ordinary clients send by the thousand.
const CHEAP: u32 = 1;

/// A request that was answered to its end pays for itself, and for another that is cancelled.
const ANSWERED: u32 = 60;
/// Bytes of a request's body that pay for one frame.
const BODY_BYTES: u32 = 64;
/// What a frame of a response's body earns at most: clients confirm it on its stream and on the
/// connection, and some measure the line with a ping. One byte earns nothing, or a client could
/// let a response be handed out byte by byte for free.
const DELIVERED: u32 = 8;

/// A head in pieces that comes to more bytes than this as they were sent is none that would be
/// let pass, and nothing else is read before its end.
const HEAD: u32 = 64 * 1024;

/// The budget of one connection.
pub(crate) struct Meter {
    from_client: FrameCounts,
    to_client: FrameCounts,
    left: u32,
    /// Bytes of a head that has not ended.
    head: u32,
    /// The last frame that began is of a head, whose last one it may not be.
    in_head: bool,
    unended: bool,
    /// The client's last frame, and the one that cost most of those that came with it.
    last: u8,
    dearest: u8,
    /// Bytes that went to the client.
    sent: u64,
    income: Income,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        let from_client = FrameCounts { skip: super::PREFACE.len(), ..FrameCounts::default() };
        Self {
            from_client,
            to_client: FrameCounts::default(),
            left: FULL,
            head: 0,
            in_head: false,
            unended: false,
            last: DATA,
            dearest: DATA,
            sent: 0,
            income: Income::new(PER_SECOND, now),
        }
    }

    /// Bytes that the client sent. False once nothing is left: then no more should be read.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: impl FnOnce() -> Instant) -> bool {
        if self.is_spent() {
            return false;
        }
        let (mut cost, mut earned) = (0_u32, 0_u32);
        let mut highest = 0;
        let Self { head, in_head, unended, last, dearest, .. } = self;
        self.from_client.pass(bytes, |frame| {
            let price = match frame.kind {
                DATA => {
                    earned = earned.saturating_add(frame.length / BODY_BYTES);
                    0
                }
                HEADERS | 2 | 8 => CHEAP,
                3 => RESET,
                4 => SETTINGS,
                6 => PING,
                frame::CONTINUATION => CONTINUATION,
                _ => ODD,
            };
            cost = cost.saturating_add(price);
            *last = frame.kind;
            if price > highest {
                (highest, *dearest) = (price, frame.kind);
            }
            *in_head = matches!(frame.kind, HEADERS | frame::CONTINUATION);
            if *in_head {
                *unended = frame.flags & END_HEADERS == 0;
                *head = head.saturating_add(frame.length);
                if *head > HEAD {
                    cost = FULL;
                }
                if !*unended {
                    *head = 0;
                }
            }
        });
        self.earn(earned);
        if self.left.saturating_sub(cost) < FULL / 2 {
            self.count_time(now());
        }
        self.left = self.left.saturating_sub(cost);
        !self.is_spent()
    }

    /// Bytes that were sent to the client.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        let mut earned = 0_u32;
        self.to_client.pass(bytes, |frame| {
            if frame.kind == DATA {
                earned = earned.saturating_add((frame.length / 2).min(DELIVERED));
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                earned = earned.saturating_add(ANSWERED);
            }
        });
        if !self.is_spent() {
            self.earn(earned);
        }
    }

    /// Whether a head has begun of which more is to come.
    pub(crate) fn is_in_head(&self) -> bool {
        self.in_head && (self.unended || self.from_client.skip > 0)
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// The type of the client's last frame, and of the one that cost most of the last ones.
    pub(crate) fn last_frames(&self) -> (&'static str, &'static str) {
        (frame::name(self.last), frame::name(self.dearest))
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    fn earn(&mut self, earned: u32) {
        self.left = self.left.saturating_add(earned).min(FULL);
    }

    /// The clock is read only when half has been spent, so that requests never pay for it; hence
    /// time fills up no more than that half, or an old connection could spend more at once.
    fn count_time(&mut self, now: Instant) {
        let earned = self.income.until(now);
        self.left = self.left.saturating_add(earned).min(self.left.max(FULL / 2));
    }
}

/// Finds the frames in a stream of bytes, however it is cut.
#[derive(Default)]
struct FrameCounts {
    header: [u8; HEADER],
    /// Bytes of the next header that are here.
    have: usize,
    /// Bytes that belong to no header.
    skip: usize,
}

impl FrameCounts {
    fn pass(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let header = match bytes.split_first_chunk() {
                // As nearly always: it is here in one piece.
                Some((header, rest)) if self.have == 0 => {
                    bytes = rest;
                    *header
                }
                _ => {
                    let taken = (HEADER - self.have).min(bytes.len());
                    self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                    self.have += taken;
                    bytes = &bytes[taken..];
                    if self.have < HEADER {
                        return;
                    }
                    self.have = 0;
                    self.header
                }
            };
            let frame = Frame::of(header);
            self.skip = frame.length as usize;
            found(frame);
        }
    }
}

#[cfg(test)]
mod tests;
