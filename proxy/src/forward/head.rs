//! Heads of an upstream's responses, interim ones and the final one.

use crate::buffer::{Buffer, BufferPool};
use crate::error::Reason;
use crate::http1::request::Parsed;
use crate::http1::response::{ResponseRules, parse_response};
use crate::http1::scan::HeadScanner;
use crate::io::Io;
use crate::message::ResponseParts;
use crate::relay::read_some;

/// More interim responses than this are no answer (RFC 9110 sets no bound).
pub(super) const MAX_INTERIM: u32 = 16;
/// What an upstream's head may be: as generous as a listener may be set.
pub(super) const RESPONSE_RULES: ResponseRules =
    ResponseRules { head_bytes: 60 * 1024, headers: 256 };

/// Reads heads from an HTTP/1 connection.
pub(super) struct HeadReader<'a> {
    upstream: &'a Io,
    pool: &'a BufferPool,
    method: &'a [u8],
    scanner: HeadScanner,
    slot: Option<Buffer>,
}

impl<'a> HeadReader<'a> {
    /// `method` is the request's, on which the response's framing depends.
    pub(super) fn new(upstream: &'a Io, pool: &'a BufferPool, method: &'a [u8]) -> Self {
        Self { upstream, pool, method, scanner: HeadScanner::default(), slot: None }
    }

    /// Reads until a head is complete. Its bytes are the first of [`HeadReader::bytes`].
    pub(super) async fn next(&mut self, response: &mut ResponseParts) -> Result<(), Reason> {
        let limits = RESPONSE_RULES.limits();
        loop {
            if let Some(buffer) = &self.slot
                && !buffer.is_empty()
                && self.scanner.worth_parsing(buffer.filled(), &limits)
                && parse_response(buffer.filled(), &RESPONSE_RULES, self.method, response)?
                    == Parsed::Complete
            {
                return Ok(());
            }
            match read_some(self.upstream, self.pool, &mut self.slot).await {
                Ok(count) if count > 0 => {}
                _ => return Err(Reason::UpstreamReset),
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.slot.as_ref().map_or(&[], Buffer::filled)
    }

    /// Goes on behind a head of `length` bytes.
    pub(super) fn skip(&mut self, length: u32) {
        if let Some(buffer) = &mut self.slot {
            buffer.consume(length as usize);
        }
        self.scanner = HeadScanner::default();
    }

    /// What was read behind the last head.
    pub(super) fn into_rest(self) -> Option<Buffer> {
        self.slot.filter(|buffer| !buffer.is_empty())
    }
}
