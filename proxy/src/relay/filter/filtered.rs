//! A body read through a stack of filters.

use std::io;
use std::task::{Context, Poll};

use http::HeaderMap;

use super::{Fed, Stack};
use crate::buffer::HeadBuffer;
use crate::cause::Cause;
use crate::http2::fields::trailer_map;
use crate::relay::reader::{Data, Filled, Piece, Reading, Trailers};

/// What is shown to the filters at a time.
const AT_ONCE: usize = 16 * 1024;

/// A body read through filters.
pub struct Filtered<'c> {
    inner: Reading<'c>,
    stack: Stack,
    /// Bytes of what came of the stack that have been taken.
    taken: usize,
    /// Bytes at the front of the inner piece that the filters have seen and let pass as they are.
    passing: usize,
    /// What is held back was asked for since the last byte came.
    flushed: bool,
    /// A filter failed where no cause could be given.
    failed: Option<Cause>,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl<'c> Filtered<'c> {
    pub fn new(inner: Reading<'c>, stack: Stack) -> Self {
        Self {
            inner,
            stack,
            taken: 0,
            passing: 0,
            flushed: true,
            failed: None,
            trailers: None,
            ended: false,
        }
    }

    pub fn inner(&self) -> &Reading<'c> {
        &self.inner
    }

    pub fn inner_mut(&mut self) -> &mut Reading<'c> {
        &mut self.inner
    }

    pub fn into_inner(self) -> Reading<'c> {
        self.inner
    }

    /// Everything that came of the filters has been taken.
    fn is_empty(&self) -> bool {
        self.taken == self.stack.out().len()
    }

    pub(in crate::relay) fn is_done(&self) -> bool {
        self.ended && self.is_empty()
    }

    pub(in crate::relay) fn piece<'b>(
        &'b mut self,
        pinned: &'b mut Option<HeadBuffer>,
    ) -> Result<Piece<'b>, Cause> {
        if let Some(cause) = self.failed.take() {
            return Err(cause);
        }
        if self.passing > 0 {
            return self.show_passing(pinned);
        }
        while self.is_empty() {
            if self.ended {
                let trailers = self.trailers.as_ref();
                return Ok(Piece::End(trailers.map_or(Trailers::None, Trailers::Map)));
            }
            let data = match self.inner.piece(pinned)? {
                Piece::Starved => return Ok(Piece::Starved),
                Piece::End(trailers) => {
                    self.trailers = match trailers {
                        Trailers::None => None,
                        Trailers::Lines(lines) => trailer_map(lines),
                        Trailers::Map(map) => Some(map.clone()),
                    };
                    self.taken = 0;
                    self.stack.finish(&mut self.trailers)?;
                    self.ended = true;
                    continue;
                }
                Piece::Data(data) => data,
            };
            let data = data.as_slice();
            let data = &data[..data.len().min(AT_ONCE)];
            self.flushed = false;
            self.taken = 0;
            let (fed, count) = (self.stack.feed(data)?, data.len());
            if fed == Fed::Unchanged {
                self.passing = count;
                return self.show_passing(pinned);
            }
            self.inner.take(pinned, count);
        }
        Ok(Piece::Data(Data::Slice(&self.stack.out()[self.taken..])))
    }

    fn show_passing<'b>(
        &'b mut self,
        pinned: &'b mut Option<HeadBuffer>,
    ) -> Result<Piece<'b>, Cause> {
        let passing = self.passing;
        match self.inner.piece(pinned)? {
            Piece::Data(data) if data.as_slice().len() == passing => Ok(Piece::Data(data)),
            Piece::Data(data) => Ok(Piece::Data(Data::Slice(&data.as_slice()[..passing]))),
            other => Ok(other),
        }
    }

    pub(in crate::relay) fn take(&mut self, pinned: &mut Option<HeadBuffer>, count: usize) {
        if self.passing > 0 {
            self.passing -= count;
            self.inner.take(pinned, count);
        } else {
            self.taken += count;
        }
    }

    /// Waits for more. When there is none at the moment, the filters let go of what they hold.
    pub(in crate::relay) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pinned: &mut Option<HeadBuffer>,
    ) -> Poll<io::Result<Filled>> {
        let filled = self.inner.poll_fill(cx, pinned);
        if filled.is_pending() && !std::mem::replace(&mut self.flushed, true) {
            self.taken = 0;
            self.failed = self.stack.flush().err();
            if self.failed.is_some() || !self.is_empty() {
                return Poll::Ready(Ok(Filled::Some));
            }
        }
        filled
    }
}
