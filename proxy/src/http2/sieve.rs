//! Takes out of what an upstream sends the frames that say nothing.
//!
//! The library counts DATA frames that are empty and end nothing, and at the hundredth of a
//! connection's whole life breaks it off with all its streams, whichever of them it came on. Some
//! servers send one with every flush. They never get so far. Sees no socket.

use std::ops::Range;

use tokio::time::Instant;

use super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADER, HEADERS, PADDED, PUSH_PROMISE,
};
use super::income::Income;

/// The most frames that are dropped in a row. Every other frame allows one more, and so does time.
/// Further ones reach the library, which ends the connection.
const MOST: u32 = 10_000;
const PER_SECOND: u32 = 1_000;

/// What is known of a stream of bytes, however it is cut.
pub(super) struct Sieve {
    /// Bytes behind the last header that belong to its frame.
    payload: usize,
    /// A header that was cut.
    header: [u8; HEADER],
    cut: Cut,
    /// A head has begun, and only its own frames may come before its end.
    in_head: bool,
    left: u32,
    income: Income,
}

enum Cut {
    Nowhere,
    /// This many bytes of the header are here, and are held back: the frame may have to be dropped.
    Held(usize),
    /// These go on before anything else.
    Passing(Range<usize>),
}

impl Sieve {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            payload: 0,
            header: [0; HEADER],
            cut: Cut::Nowhere,
            in_head: false,
            left: MOST,
            income: Income::new(PER_SECOND, now),
        }
    }

    /// Takes out of `bytes` what says nothing, and says how many stay, at the front. A header
    /// that ends elsewhere is kept: [`Sieve::missing`] is to be asked before the next bytes.
    pub(super) fn sift(&mut self, bytes: &mut [u8], now: impl Fn() -> Instant) -> usize {
        let (mut read, mut kept) = (0, 0);
        loop {
            let payload = self.payload.min(bytes.len() - read);
            self.payload -= payload;
            let passes = match bytes[read + payload..].first_chunk() {
                Some(header) => self.passes(Frame::of(*header), &now),
                None => false,
            };
            let length = if passes { payload + HEADER } else { payload };
            if kept != read {
                bytes.copy_within(read..read + length, kept);
            }
            kept += length;
            read += payload;
            if bytes.len() - read < HEADER {
                break;
            }
            read += HEADER;
        }
        let rest = &bytes[read..];
        if !rest.is_empty() {
            self.header[..rest.len()].copy_from_slice(rest);
            self.cut = Cut::Held(rest.len());
        }
        kept
    }

    /// Bytes by which a header that was cut comes to its end.
    pub(super) fn missing(&self) -> usize {
        match self.cut {
            Cut::Held(have) => HEADER - have,
            Cut::Nowhere | Cut::Passing(_) => 0,
        }
    }

    /// Some of the missing bytes; none when the stream has ended, and then what is here goes on.
    pub(super) fn add(&mut self, bytes: &[u8], now: impl Fn() -> Instant) {
        let Cut::Held(have) = self.cut else { return };
        let bytes = &bytes[..bytes.len().min(HEADER - have)];
        let whole = have + bytes.len();
        self.header[have..whole].copy_from_slice(bytes);
        self.cut = if bytes.is_empty() {
            Cut::Passing(0..have)
        } else if whole < HEADER {
            Cut::Held(whole)
        } else if self.passes(Frame::of(self.header), &now) {
            Cut::Passing(0..HEADER)
        } else {
            Cut::Nowhere
        };
    }

    /// Up to `most` bytes of a header that was cut and goes on; `None` when there are none.
    pub(super) fn take(&mut self, most: usize) -> Option<&[u8]> {
        let Cut::Passing(range) = &mut self.cut else { return None };
        let taken = range.start..range.end.min(range.start + most);
        range.start = taken.end;
        if range.start == range.end {
            self.cut = Cut::Nowhere;
        }
        Some(&self.header[taken])
    }

    /// Judges a frame; its payload is what comes next.
    fn passes(&mut self, frame: Frame, now: &impl Fn() -> Instant) -> bool {
        self.payload = frame.length as usize;
        // What is wrong is the library's to refuse; and padding counts for flow control.
        let is_idle = frame.kind == DATA
            && frame.length == 0
            && frame.flags & (END_STREAM | PADDED) == 0
            && frame.stream != 0
            && !self.in_head;
        if is_idle && self.pays(now) {
            return false;
        }
        if !is_idle {
            self.left = (self.left + 1).min(MOST);
        }
        if matches!(frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            self.in_head = frame.flags & END_HEADERS == 0;
        }
        true
    }

    /// The clock is read only when nothing is left.
    fn pays(&mut self, now: &impl Fn() -> Instant) -> bool {
        if self.left == 0 {
            self.left = self.income.until(now()).min(MOST);
        }
        let pays = self.left > 0;
        self.left = self.left.saturating_sub(1);
        pays
    }
}

#[cfg(test)]
mod tests;
