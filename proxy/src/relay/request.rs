//! A request's body on its way to the upstream.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use super::{Stage, Watch};
use crate::buffer::HeadBuffer;
use crate::error::Reason;
use crate::http1::body::{BodyDecoder, Side};
use crate::http1::chunked;
use crate::io::Io;
use crate::message::Framing;

/// Why a request did not reach the upstream whole.
#[derive(Debug)]
pub enum UploadError {
    /// The client broke its own framing, went away, or was too slow or too large.
    Client(Reason),
    /// The upstream does not take more. Its answer may be there all the same.
    Upstream(io::Error),
}

/// Everything an upload needs. The head stands encoded in `head`.
pub struct Upload<'a> {
    pub client: &'a Io,
    pub upstream: &'a Io,
    pub buffer: &'a mut HeadBuffer,
    pub head: &'a mut Vec<u8>,
    pub framing: Framing,
    /// Decoded bytes that a body may have.
    pub limit: u64,
    pub patience: Duration,
    /// How long the upstream has for its answer once a slow body has been sent.
    pub answer_patience: Duration,
    pub watch: &'a Watch<'a>,
    pub counters: &'a UploadCounters,
}

#[derive(Debug, Default)]
pub struct UploadCounters {
    /// Decoded body bytes taken from the client.
    pub body: Cell<u64>,
    /// Some byte of the request has left for the upstream.
    pub begun: Cell<bool>,
    /// The whole request has left.
    pub complete: Cell<bool>,
}

impl Upload<'_> {
    /// Sends the head with whatever part of the body is here already, then the rest as it comes.
    pub async fn run(mut self) -> Result<(), UploadError> {
        let mut decoder = BodyDecoder::new(self.framing, Side::Request);
        let mut head_left = true;
        let mut slow = false;
        loop {
            let (taken, done) = match self.framing {
                Framing::Chunked => {
                    if !head_left {
                        self.head.clear();
                    }
                    self.encode_chunks(&mut decoder)?
                }
                _ => {
                    let decoded =
                        decoder.decode(self.buffer.body()).map_err(UploadError::Client)?;
                    (decoded.consumed, decoded.done)
                }
            };
            let raw = match self.framing {
                Framing::Chunked => &[][..],
                _ => {
                    self.count(taken)?;
                    &self.buffer.body()[..taken]
                }
            };
            let head: &[u8] = match self.framing {
                Framing::Chunked => self.head,
                _ if head_left => self.head,
                _ => &[],
            };
            if !head_left {
                self.watch.expect(Stage::UpstreamWrite, self.patience);
            }
            let begun = &self.counters.begun;
            self.upstream
                .write_all(head, raw, |_| begun.set(true))
                .await
                .map_err(UploadError::Upstream)?;
            head_left = false;
            self.buffer.consume(taken);
            if done {
                self.counters.complete.set(true);
                let stage = self.watch.stage.get();
                if slow && matches!(stage, Stage::ClientBody | Stage::UpstreamWrite) {
                    self.watch.expect(Stage::ResponseHead, self.answer_patience);
                }
                return Ok(());
            }
            slow = true;
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), UploadError> {
        self.watch.expect(Stage::ClientBody, self.patience);
        self.buffer.compact();
        if self.buffer.spare().is_empty() {
            // A trailer section that does not fit behind the head.
            return Err(UploadError::Client(Reason::HeadTooLarge));
        }
        let read = self.client.read(self.buffer.spare()).await;
        match read {
            Ok(count) if count > 0 => {
                self.buffer.commit(count);
                Ok(())
            }
            // A body that is cut short is its sender's fault, whatever its framing.
            _ => Err(UploadError::Client(Reason::ClientAborted)),
        }
    }

    fn encode_chunks(&mut self, decoder: &mut BodyDecoder) -> Result<(usize, bool), UploadError> {
        let mut taken = 0;
        loop {
            let input = &self.buffer.body()[taken..];
            let decoded = decoder.decode(input).map_err(UploadError::Client)?;
            let data = &input[decoded.data.clone()];
            let length = data.len();
            if length > 0 {
                chunked::write_chunk(self.head, data);
            }
            taken += decoded.consumed;
            self.count(length)?;
            if decoded.done {
                chunked::write_last_chunk(self.head, decoder.trailers());
                return Ok((taken, true));
            }
            if decoded.consumed == 0 {
                return Ok((taken, false));
            }
        }
    }

    fn count(&self, bytes: usize) -> Result<(), UploadError> {
        let total = self.counters.body.get().saturating_add(bytes as u64);
        self.counters.body.set(total);
        if total > self.limit { Err(UploadError::Client(Reason::BodyTooLarge)) } else { Ok(()) }
    }
}
