//! The chunked coding (RFC 9112, section 7.1), both ways.
//!
//! The decoder is incremental and copies no payload: it says where in its input the payload
//! stands. Extensions are dropped, trailers kept as far as [`trailers`](super::trailers) allows.

use super::body::{Decoded, Side};
use super::syntax::is_text_byte;
use super::trailers::TrailerCollector;
use crate::cause::{Cause, Rule};

/// Bytes of chunk extensions in a whole message.
const MAX_EXTENSIONS: usize = 4 * 1024;
const MAX_DIGITS: u8 = 16;
const MAX_CHUNK: u64 = i64::MAX as u64;

#[derive(Debug, Clone)]
pub struct ChunkedDecoder {
    side: Side,
    state: ChunkState,
    /// Of the size line while it is read, then of the payload still to come.
    remaining: u64,
    digits: u8,
    extensions: usize,
    trailers: TrailerCollector,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the message.
    Trailer,
    TrailerLine,
    EndLf,
    Done,
    /// Once wrong, always wrong: what follows has no known meaning.
    Failed(Cause),
}

impl ChunkedDecoder {
    pub fn new(side: Side) -> Self {
        Self {
            side,
            state: ChunkState::Size,
            remaining: 0,
            digits: 0,
            extensions: 0,
            trailers: TrailerCollector::default(),
        }
    }

    /// Reads on from where the last call stopped. Stops before the second piece of payload, so
    /// that one range tells where the first one is; to be called until everything is consumed.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, Cause> {
        if let ChunkState::Failed(cause) = self.state {
            return Err(cause);
        }
        self.advance(input).map_err(|rule| {
            let cause = self.side.cause(rule);
            self.state = ChunkState::Failed(cause);
            cause
        })
    }

    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// The trailer lines that may be passed on, each with its CRLF: what
    /// [`write_last_chunk`] wants. To be asked once it is done.
    pub fn trailers(&self) -> &[u8] {
        self.trailers.lines()
    }

    fn advance(&mut self, input: &[u8]) -> Result<Decoded, Rule> {
        let mut at = 0;
        let mut data = 0..0;
        while at < input.len() && self.state != ChunkState::Done {
            match self.state {
                ChunkState::Data if !data.is_empty() => break,
                ChunkState::Data => {
                    let available = input.len() - at;
                    let taken = usize::try_from(self.remaining)
                        .map_or(available, |remaining| remaining.min(available));
                    data = at..at + taken;
                    at += taken;
                    self.remaining -= taken as u64;
                    if self.remaining == 0 {
                        self.state = ChunkState::DataCr;
                    }
                }
                ChunkState::TrailerLine => {
                    let spoof = self.side == Side::Request;
                    let (taken, ended) = self.trailers.collect(&input[at..], spoof)?;
                    at += taken;
                    if ended {
                        self.state = ChunkState::Trailer;
                    }
                }
                ChunkState::Trailer if input[at] != b'\r' => self.state = ChunkState::TrailerLine,
                _ => {
                    self.state = self.step(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(Decoded { consumed: at, data, done: self.state == ChunkState::Done })
    }

    /// The state after one byte of framing.
    fn step(&mut self, byte: u8) -> Result<ChunkState, Rule> {
        match (self.state, byte) {
            (ChunkState::Size, b'\r') if self.digits > 0 => Ok(ChunkState::SizeLf),
            (ChunkState::Size, b';') if self.digits > 0 => self.extend(),
            (ChunkState::Size, _) => self.push_digit(byte),
            (ChunkState::Extension, b'\r') => Ok(ChunkState::SizeLf),
            (ChunkState::Extension, _) if is_text_byte(byte) => self.extend(),
            (ChunkState::SizeLf, b'\n') => {
                self.digits = 0;
                Ok(if self.remaining == 0 { ChunkState::Trailer } else { ChunkState::Data })
            }
            (ChunkState::DataCr, b'\r') => Ok(ChunkState::DataLf),
            (ChunkState::DataLf, b'\n') => Ok(ChunkState::Size),
            (ChunkState::Trailer, b'\r') => Ok(ChunkState::EndLf),
            (ChunkState::EndLf, b'\n') => Ok(ChunkState::Done),
            (ChunkState::DataCr | ChunkState::DataLf, _) => Err(Rule::ChunkEnd),
            (ChunkState::Trailer | ChunkState::EndLf, _) => Err(Rule::BareCarriageReturn),
            _ => Err(Rule::ChunkSize),
        }
    }

    fn push_digit(&mut self, byte: u8) -> Result<ChunkState, Rule> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return Err(Rule::ChunkSize),
        };
        self.digits += 1;
        if self.digits > MAX_DIGITS || self.remaining > MAX_CHUNK >> 4 {
            return Err(Rule::ChunkSize);
        }
        self.remaining = (self.remaining << 4) | u64::from(digit);
        Ok(ChunkState::Size)
    }

    fn extend(&mut self) -> Result<ChunkState, Rule> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err(Rule::ChunkExtensions);
        }
        Ok(ChunkState::Extension)
    }
}

/// Writes the size line of a chunk of `length` bytes, which must not be 0: that would be the end.
pub fn write_chunk_header(out: &mut Vec<u8>, length: usize) {
    debug_assert!(length > 0);
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut line = [0; 18];
    line[16] = b'\r';
    line[17] = b'\n';
    let mut at = 16;
    let mut rest = length;
    loop {
        at -= 1;
        line[at] = HEX[rest & 15];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&line[at..]);
}

/// What follows the payload of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Writes a whole chunk; of no payload, nothing.
pub fn write_chunk(out: &mut Vec<u8>, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    write_chunk_header(out, payload.len());
    out.extend_from_slice(payload);
    out.extend_from_slice(CHUNK_END);
}

/// Ends a chunked body, with the lines of [`ChunkedDecoder::trailers`] or with none.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
