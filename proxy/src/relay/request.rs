//! A request's body on its way to the upstream.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::{Stage, Watch, least};
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
    /// The client waits for a 100 before it sends its body: until then the response is awaited.
    pub held_back: bool,
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

/// How fast a body comes. A client that sends a byte now and then does not hold a connection
/// for ever: its time begins anew only with so many bytes.
struct Pace {
    patience: Duration,
    until: Option<Instant>,
    /// Where in the body the time began.
    from: u64,
}

impl Pace {
    fn until(&mut self, body: u64) -> Instant {
        match self.until {
            Some(until) if body - self.from < least(self.patience) => until,
            _ => {
                let until = Instant::now() + self.patience;
                (self.until, self.from) = (Some(until), body);
                until
            }
        }
    }
}

impl Upload<'_> {
    /// Sends the head with whatever part of the body is here already, then the rest as it comes.
    pub async fn run(mut self) -> Result<(), UploadError> {
        let mut decoder = BodyDecoder::new(self.framing, Side::Request);
        let mut head_left = true;
        let mut slow = false;
        let mut pace = Pace { patience: self.patience, until: None, from: 0 };
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
            if taken > 0 {
                self.held_back = false;
            }
            if !head_left {
                self.watch.expect_upload(Stage::UpstreamWrite, Instant::now() + self.patience);
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
            self.read(&mut pace).await?;
        }
    }

    async fn read(&mut self, pace: &mut Pace) -> Result<(), UploadError> {
        if !self.held_back {
            let until = pace.until(self.counters.body.get());
            self.watch.expect_upload(Stage::ClientBody, until);
        }
        self.buffer.compact();
        if self.buffer.spare().is_empty() {
            // A trailer section that does not fit behind the head.
            return Err(UploadError::Client(Reason::HeadTooLarge));
        }
        let read = self.client.read(self.buffer.spare()).await;
        match read {
            Ok(count) if count > 0 => {
                self.held_back = false;
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
