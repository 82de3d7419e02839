//! Bodies that are rewritten on their way: between gRPC-Web and gRPC.
//!
//! A filter reads a bounded part of a body at a time and holds what came of it until that has
//! been taken, so that back-pressure reaches through it. A body that needs none never comes here.

use std::io;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::messages::Messages;
use super::reader::{Data, Filled, Piece, Reading, Trailers};
use crate::buffer::HeadBuffer;
use crate::cause::{Cause, Rule};
use crate::http2::fields::trailer_lines;

/// What is rewritten at a time.
const AT_ONCE: usize = 16 * 1024;
/// The flag of a frame that holds trailers instead of a message.
const TRAILERS: u8 = 0x80;

/// What is done to a body.
pub enum Filter {
    /// A request in base64 becomes one of bytes.
    FromText(Decoder),
    /// Behind the messages of a response its trailers follow as a frame.
    ToBinary,
    /// The same, in base64.
    ToText(Encoder),
}

impl Filter {
    pub fn from_text() -> Self {
        Self::FromText(Decoder::default())
    }

    pub fn to_web(text: bool) -> Self {
        if text { Self::ToText(Encoder::default()) } else { Self::ToBinary }
    }

    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Cause> {
        match self {
            Self::FromText(decoder) => decoder.decode(data, out)?,
            Self::ToBinary => out.extend_from_slice(data),
            Self::ToText(encoder) => encoder.encode(data, out),
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Trailers<'_>, out: &mut Vec<u8>) -> Result<(), Cause> {
        match self {
            Self::FromText(decoder) => decoder.finish(),
            Self::ToBinary => {
                out.extend_from_slice(&frame(trailers));
                Ok(())
            }
            Self::ToText(encoder) => {
                encoder.pad(out);
                encoder.encode(&frame(trailers), out);
                encoder.pad(out);
                Ok(())
            }
        }
    }
}

/// Trailers as the last frame of a body.
fn frame(trailers: Trailers<'_>) -> Vec<u8> {
    let lines = match trailers {
        Trailers::None => return Vec::new(),
        Trailers::Lines(lines) => lines.to_vec(),
        Trailers::Map(map) => trailer_lines(map),
    };
    let mut frame = vec![TRAILERS];
    // Heads are limited far below.
    frame.extend_from_slice(&u32::try_from(lines.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&lines);
    frame
}

/// Base64 into bytes, four characters at a time. Padding may stand wherever a message ends.
#[derive(Default)]
pub struct Decoder {
    kept: Vec<u8>,
}

impl Decoder {
    fn decode(&mut self, mut data: &[u8], out: &mut Vec<u8>) -> Result<(), Cause> {
        if !self.kept.is_empty() {
            let count = data.len().min(4 - self.kept.len());
            self.kept.extend_from_slice(&data[..count]);
            data = &data[count..];
            if self.kept.len() < 4 {
                return Ok(());
            }
            put_decoded(&self.kept, out)?;
            self.kept.clear();
        }
        let (mut groups, rest) = data.split_at(data.len() - data.len() % 4);
        while !groups.is_empty() {
            let padded = memchr::memchr(b'=', groups);
            let end = padded.map_or(groups.len(), |at| at - at % 4 + 4);
            put_decoded(&groups[..end], out)?;
            groups = &groups[end..];
        }
        self.kept.extend_from_slice(rest);
        Ok(())
    }

    fn finish(&self) -> Result<(), Cause> {
        if self.kept.is_empty() { Ok(()) } else { Err(Rule::WebBase64.in_request()) }
    }
}

fn put_decoded(groups: &[u8], out: &mut Vec<u8>) -> Result<(), Cause> {
    STANDARD.decode_vec(groups, out).map_err(|_| Rule::WebBase64.in_request())
}

/// Bytes into base64. Each message is padded, so that none waits for the next.
#[derive(Default)]
pub struct Encoder {
    messages: Messages,
    kept: Vec<u8>,
}

impl Encoder {
    fn encode(&mut self, mut data: &[u8], out: &mut Vec<u8>) {
        while !data.is_empty() {
            let (count, ends) = self.messages.step(data);
            self.put(&data[..count], out);
            if ends {
                self.pad(out);
            }
            data = &data[count..];
        }
    }

    /// Writes whole groups and keeps what is left.
    fn put(&mut self, mut data: &[u8], out: &mut Vec<u8>) {
        if !self.kept.is_empty() {
            let count = data.len().min(3 - self.kept.len());
            self.kept.extend_from_slice(&data[..count]);
            data = &data[count..];
            if self.kept.len() < 3 {
                return;
            }
            self.pad(out);
        }
        let (groups, rest) = data.split_at(data.len() - data.len() % 3);
        put_encoded(groups, out);
        self.kept.extend_from_slice(rest);
    }

    fn pad(&mut self, out: &mut Vec<u8>) {
        put_encoded(&self.kept, out);
        self.kept.clear();
    }
}

fn put_encoded(data: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(data, &mut out[start..]);
    debug_assert_eq!(written.ok(), Some(out.len() - start));
}

/// A body read through a filter.
pub struct Filtered<'c> {
    inner: Reading<'c>,
    filter: Filter,
    /// What came of the filter.
    out: Vec<u8>,
    /// Bytes of it that have been taken.
    taken: usize,
    ended: bool,
}

impl<'c> Filtered<'c> {
    pub fn new(inner: Reading<'c>, filter: Filter) -> Self {
        Self { inner, filter, out: Vec::new(), taken: 0, ended: false }
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

    pub(super) fn is_done(&self) -> bool {
        self.ended && self.taken == self.out.len()
    }

    pub(super) fn piece(&mut self, pinned: &mut Option<HeadBuffer>) -> Result<Piece<'_>, Cause> {
        let Self { inner, filter, out, taken, ended } = self;
        while *taken == out.len() {
            out.clear();
            *taken = 0;
            if *ended {
                return Ok(Piece::End(Trailers::None));
            }
            match inner.piece(pinned)? {
                Piece::Starved => return Ok(Piece::Starved),
                Piece::End(trailers) => {
                    filter.finish(trailers, out)?;
                    *ended = true;
                }
                Piece::Data(data) => {
                    let data = data.as_slice();
                    let count = data.len().min(AT_ONCE);
                    filter.feed(&data[..count], out)?;
                    inner.take(pinned, count);
                }
            }
        }
        Ok(Piece::Data(Data::Slice(&out[*taken..])))
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
    }

    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pinned: &mut Option<HeadBuffer>,
    ) -> Poll<io::Result<Filled>> {
        self.inner.poll_fill(cx, pinned)
    }
}

#[cfg(test)]
mod tests;
