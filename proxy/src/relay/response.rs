//! A response's body on its way to the client.

use std::cell::Cell;
use std::time::Duration;

use super::{Stage, Watch, least, read_some};
use crate::buffer::{Buffer, BufferPool};
use crate::error::Reason;
use crate::http1::body::{BodyDecoder, Side};
use crate::http1::chunked;
use crate::io::Io;
use crate::message::Framing;

/// Up to here a body is copied behind its head; above, both leave by one vectored write.
const COPY_BELOW: usize = 8 * 1024;

/// Where a body comes from.
pub struct Source<'a> {
    pub upstream: &'a Io,
    pub pool: &'a BufferPool,
    /// What was read behind the head.
    pub buffer: Option<Buffer>,
    pub framing: Framing,
    /// How long the upstream may be silent.
    pub patience: Duration,
}

/// Where a body goes.
pub struct Sink<'a> {
    pub client: &'a Io,
    /// Holds the encoded head, until it leaves with the first bytes of the body.
    pub out: &'a mut Vec<u8>,
    pub framing: Framing,
    /// How long the client may take nothing.
    pub patience: Duration,
    pub watch: &'a Watch<'a>,
    pub counters: &'a DownloadCounters,
}

#[derive(Debug, Default)]
pub struct DownloadCounters {
    /// Body bytes taken by the client's socket, without their framing.
    pub body: Cell<u64>,
    /// Some byte of the response has left for the client.
    pub begun: Cell<bool>,
}

/// What is known of the upstream's connection once its response is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// It stands exactly behind the response.
    None,
    /// It sent more than its response, or has closed: not to be used again.
    Unusable,
}

/// Sends the head and the body as it comes, until the body's own end.
pub async fn download(mut source: Source<'_>, mut sink: Sink<'_>) -> Result<Leftover, Reason> {
    let mut decoder = BodyDecoder::new(source.framing, Side::Response);
    loop {
        let input = source.buffer.as_ref().map_or(&[][..], Buffer::filled);
        let taken = if sink.framing == source.framing && sink.framing != Framing::Chunked {
            sink.pass(&mut decoder, input).await?
        } else {
            sink.reframe(&mut decoder, input).await?
        };
        if let Some(buffer) = &mut source.buffer {
            buffer.consume(taken);
        }
        if decoder.is_done() {
            let clean = source.buffer.as_ref().is_none_or(Buffer::is_empty);
            return Ok(if clean { Leftover::None } else { Leftover::Unusable });
        }
        if source.buffer.as_ref().is_some_and(Buffer::is_empty) {
            source.buffer = None;
        }
        sink.watch.expect(Stage::ResponseBody, source.patience);
        match read_some(source.upstream, source.pool, &mut source.buffer).await {
            Ok(0) => {
                decoder.finish_on_eof().map_err(|_| Reason::UpstreamTruncated)?;
                sink.end_of_connection().await?;
                return Ok(Leftover::Unusable);
            }
            Ok(_) => {}
            Err(_) => return Err(Reason::UpstreamTruncated),
        }
    }
}

impl Sink<'_> {
    /// The body goes on as it is framed already.
    async fn pass(&mut self, decoder: &mut BodyDecoder, input: &[u8]) -> Result<usize, Reason> {
        let decoded = decoder.decode(input).map_err(of_upstream)?;
        let data = &input[decoded.data];
        if !self.out.is_empty() && data.len() <= COPY_BELOW {
            self.out.extend_from_slice(data);
            self.write(&[], data.len()).await?;
        } else {
            self.write(data, data.len()).await?;
        }
        Ok(decoded.consumed)
    }

    /// The body is framed anew: chunked, or ended by the close of the connection.
    async fn reframe(&mut self, decoder: &mut BodyDecoder, input: &[u8]) -> Result<usize, Reason> {
        let mut taken = 0;
        let mut body = 0;
        while !decoder.is_done() {
            let rest = &input[taken..];
            let decoded = decoder.decode(rest).map_err(of_upstream)?;
            let data = &rest[decoded.data];
            if !data.is_empty() {
                match self.framing {
                    Framing::Chunked => chunked::write_chunk(self.out, data),
                    _ => self.out.extend_from_slice(data),
                }
            }
            body += data.len();
            taken += decoded.consumed;
            if decoded.consumed == 0 {
                break;
            }
        }
        if decoder.is_done() && self.framing == Framing::Chunked {
            chunked::write_last_chunk(self.out, decoder.trailers());
        }
        self.write(&[], body).await?;
        Ok(taken)
    }

    /// A body that ended with its connection still owes the client the end of its own framing.
    async fn end_of_connection(&mut self) -> Result<(), Reason> {
        if self.framing == Framing::Chunked {
            chunked::write_last_chunk(self.out, &[]);
        }
        self.write(&[], 0).await
    }

    async fn write(&mut self, data: &[u8], body: usize) -> Result<(), Reason> {
        if self.out.is_empty() && data.is_empty() {
            return Ok(());
        }
        self.watch.expect(Stage::ClientWrite, self.patience);
        let (watch, patience, counters) = (self.watch, self.patience, self.counters);
        let mut moved = 0;
        let progress = |count| {
            moved += count as u64;
            if !counters.begun.replace(true) {
                return;
            }
            if moved >= least(patience) {
                moved = 0;
                watch.expect(Stage::ClientWrite, patience);
            }
        };
        self.client.write_all(self.out, data, progress).await.map_err(|_| Reason::ClientAborted)?;
        self.out.clear();
        counters.body.set(counters.body.get() + body as u64);
        Ok(())
    }
}

fn of_upstream(reason: Reason) -> Reason {
    match reason {
        Reason::HeadTooLarge | Reason::UpstreamHeadTooLarge => Reason::UpstreamHeadTooLarge,
        _ => Reason::UpstreamProtocol,
    }
}
