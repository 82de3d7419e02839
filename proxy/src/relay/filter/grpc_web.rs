//! Between gRPC-Web and gRPC: base64 into bytes, and trailers as the last frame of a body.
//!
//! After <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>. Knows no heads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::{Fed, Filter};
use crate::cause::{Cause, Rule};
use crate::http2::fields::trailer_lines;
use crate::relay::messages::Messages;

/// The flag of a frame that holds trailers instead of a message.
const TRAILERS: u8 = 0x80;

/// A request in base64 becomes one of bytes, four characters at a time. Padding may stand
/// wherever a message ends.
#[derive(Default)]
pub struct FromText {
    kept: Vec<u8>,
}

impl Filter for FromText {
    fn feed(&mut self, mut data: &[u8], out: &mut Vec<u8>) -> Result<Fed, Cause> {
        if !self.kept.is_empty() {
            let count = data.len().min(4 - self.kept.len());
            self.kept.extend_from_slice(&data[..count]);
            data = &data[count..];
            if self.kept.len() < 4 {
                return Ok(Fed::Written);
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
        Ok(Fed::Written)
    }

    fn finish(&mut self, _: &mut Option<HeaderMap>, _: &mut Vec<u8>) -> Result<(), Cause> {
        if self.kept.is_empty() { Ok(()) } else { Err(Rule::WebBase64.in_request()) }
    }
}

fn put_decoded(groups: &[u8], out: &mut Vec<u8>) -> Result<(), Cause> {
    STANDARD.decode_vec(groups, out).map_err(|_| Rule::WebBase64.in_request())
}

/// Behind the messages of a response its trailers follow as a frame.
pub struct ToBinary;

impl Filter for ToBinary {
    fn feed(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<Fed, Cause> {
        Ok(Fed::Unchanged)
    }

    fn finish(&mut self, trailers: &mut Option<HeaderMap>, out: &mut Vec<u8>) -> Result<(), Cause> {
        out.extend_from_slice(&frame(trailers.take()));
        Ok(())
    }
}

/// The same, in base64. Each message is padded, so that none waits for the next.
#[derive(Default)]
pub struct ToText {
    messages: Messages,
    kept: Vec<u8>,
}

impl Filter for ToText {
    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<Fed, Cause> {
        self.encode(data, out);
        Ok(Fed::Written)
    }

    fn finish(&mut self, trailers: &mut Option<HeaderMap>, out: &mut Vec<u8>) -> Result<(), Cause> {
        self.pad(out);
        self.encode(&frame(trailers.take()), out);
        self.pad(out);
        Ok(())
    }
}

impl ToText {
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

/// Trailers as the last frame of a body.
fn frame(trailers: Option<HeaderMap>) -> Vec<u8> {
    let Some(trailers) = trailers else { return Vec::new() };
    let lines = trailer_lines(&trailers);
    let mut frame = vec![TRAILERS];
    // Heads are limited far below.
    frame.extend_from_slice(&u32::try_from(lines.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&lines);
    frame
}

#[cfg(test)]
mod tests;
