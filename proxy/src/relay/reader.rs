//! The receiving end of a body, whatever carries it: a decoder over a read buffer in HTTP/1, a
//! stream of DATA frames in HTTP/2.
//!
//! Knows framing; deadlines and limits are its caller's.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;

use crate::buffer::{Buffer, BufferPool, HeadBuffer};
use crate::cause::Cause;
use crate::error::Reason;
use crate::http1::body::{BodyDecoder, Side};
use crate::http2::fields::trailer_map;
use crate::io::Io;
use crate::message::Framing;
use crate::relay::filter::Filtered;
pub use crate::relay::http2_body::Http2Body;
use crate::relay::writer::Wire;

/// What stands next in a body.
pub enum Piece<'a> {
    Data(Data<'a>),
    End(Trailers<'a>),
    /// Nothing more has arrived: the caller must wait.
    Starved,
}

/// Bytes of a body, with the means to keep them without copying where there are such.
#[derive(Clone, Copy)]
pub enum Data<'a> {
    Slice(&'a [u8]),
    Shared(&'a Bytes),
}

impl<'a> Data<'a> {
    pub fn as_slice(&self) -> &'a [u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// Up to this many of the bytes.
    pub fn first(self, most: usize) -> Bytes {
        match self {
            Self::Slice(bytes) => Bytes::copy_from_slice(&bytes[..most.min(bytes.len())]),
            Self::Shared(bytes) => bytes.slice(..most.min(bytes.len())),
        }
    }
}

/// What follows a body. Judged already: nothing of it may change what the head said.
#[derive(Clone, Copy)]
pub enum Trailers<'a> {
    None,
    /// Lines with their CRLF.
    Lines(&'a [u8]),
    Map(&'a HeaderMap),
}

/// How a wait for more ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    Some,
    /// The connection has ended; of most bodies that is an error.
    Eof,
    /// There is no room left: a trailer section that does not fit behind the head.
    Full,
}

/// How much of a body that goes on as it comes is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Exactly(u64),
    UntilClose,
}

/// A body being read.
pub enum Reading<'c> {
    /// There is no body.
    Nothing,
    /// From a client's connection, into the buffer whose front holds the request's head.
    Pinned { io: &'c Io, body: Http1Body },
    /// From a connection, into a buffer that is held only while it is filled.
    Lent { io: Wire<'c>, pool: BufferPool, buffer: Option<Buffer>, body: Http1Body },
    /// Boxed, like what is rare below: most bodies are handed on in HTTP/1, and moved often.
    Http2(Box<Http2Body>),
    /// Rewritten on its way.
    Filtered(Box<Filtered<'c>>),
}

/// How far a body has been decoded.
pub struct Http1Body {
    decoder: BodyDecoder,
    /// Payload at the front of the buffer, decoded and not yet taken.
    data: usize,
    /// Framing behind that payload.
    behind: usize,
    /// The body has ended with its connection.
    closed: bool,
}

impl Http1Body {
    pub fn new(framing: Framing, side: Side) -> Self {
        Self { decoder: BodyDecoder::new(framing, side), data: 0, behind: 0, closed: false }
    }

    fn is_done(&self) -> bool {
        self.data == 0 && (self.closed || self.decoder.is_done())
    }
}

impl Reading<'_> {
    /// Nothing more of this body will come.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Pinned { body, .. } | Self::Lent { body, .. } => body.is_done(),
            Self::Http2(body) => body.is_done(),
            Self::Filtered(filtered) => filtered.is_done(),
        }
    }

    /// The bytes that were read will not be needed again.
    pub fn forget(&mut self) {
        match self {
            Self::Http2(body) => body.forget(),
            Self::Filtered(filtered) => filtered.inner_mut().forget(),
            // What is pinned is the exchange's.
            Self::Nothing | Self::Pinned { .. } | Self::Lent { .. } => {}
        }
    }

    /// What was read behind the body under this name, as far as it makes sense.
    pub fn trailer<R>(&self, name: &str, read: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
        match self {
            Self::Nothing => None,
            Self::Pinned { body, .. } | Self::Lent { body, .. } => {
                read(trailer_map(body.decoder.trailers())?.get(name)?.as_bytes())
            }
            Self::Http2(body) => read(body.trailers()?.get(name)?.as_bytes()),
            Self::Filtered(filtered) => filtered.inner().trailer(name, read),
        }
    }

    /// What a peer said that broke its stream off.
    pub fn reset_code(&self) -> Option<h2::Reason> {
        match self {
            Self::Http2(body) => body.reset_code(),
            Self::Filtered(filtered) => filtered.inner().reset_code(),
            Self::Nothing | Self::Pinned { .. } | Self::Lent { .. } => None,
        }
    }

    /// Decodes what is here. The same piece is shown until it is taken. `pinned` is the client's
    /// buffer, where that is what is read.
    pub fn piece<'b>(&'b mut self, pinned: &'b mut Option<HeadBuffer>) -> Result<Piece<'b>, Cause> {
        match self {
            Self::Nothing => Ok(Piece::End(Trailers::None)),
            Self::Pinned { body, .. } => match pinned {
                Some(buffer) => body.piece(buffer),
                None => Err(Reason::Internal.into()),
            },
            Self::Lent { body, buffer, .. } => body.piece(buffer),
            Self::Http2(body) => Ok(body.piece()),
            Self::Filtered(filtered) => filtered.piece(pinned),
        }
    }

    /// The first `count` bytes of the piece have gone on.
    pub fn take(&mut self, pinned: &mut Option<HeadBuffer>, count: usize) {
        match self {
            Self::Nothing => {}
            Self::Pinned { body, .. } => {
                if let Some(buffer) = pinned {
                    buffer.consume(count);
                }
                body.data -= count;
            }
            Self::Lent { body, buffer, .. } => {
                buffer.consume(count);
                body.data -= count;
            }
            Self::Http2(body) => body.take(count),
            Self::Filtered(filtered) => filtered.take(pinned, count),
        }
    }

    /// Waits for more.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pinned: &mut Option<HeadBuffer>,
    ) -> Poll<io::Result<Filled>> {
        let count = match self {
            Self::Nothing => return Poll::Ready(Ok(Filled::Eof)),
            Self::Http2(body) => return body.poll_fill(cx),
            Self::Filtered(filtered) => return filtered.poll_fill(cx, pinned),
            Self::Pinned { io, .. } => {
                let Some(buffer) = pinned else { return Poll::Ready(Ok(Filled::Eof)) };
                buffer.compact();
                if buffer.spare().is_empty() {
                    return Poll::Ready(Ok(Filled::Full));
                }
                let count = ready!(io.poll_read(cx, buffer.spare()))?;
                buffer.commit(count);
                count
            }
            Self::Lent { io, pool, buffer, .. } => {
                if buffer.as_ref().is_some_and(Buffer::is_empty) {
                    *buffer = None;
                }
                ready!(super::poll_read_some(cx, io, pool, buffer))?
            }
        };
        Poll::Ready(Ok(if count == 0 { Filled::Eof } else { Filled::Some }))
    }

    /// The connection where the rest of the body stands, and how long that is, where it is to go
    /// on as it comes and nothing of it has been read.
    pub fn unread(&self, pinned: &Option<HeadBuffer>) -> Option<(&Io, Rest)> {
        let (io, body): (&Io, _) = match self {
            Self::Pinned { io, body } if pinned.as_ref().is_some_and(|it| it.body().is_empty()) => {
                (io, body)
            }
            Self::Lent { io, body, buffer, .. } if buffer.filled().is_empty() => (io, body),
            _ => return None,
        };
        let rest = match body.decoder.remaining() {
            Some(count) => Rest::Exactly(count),
            None if body.decoder.is_open_ended() && !body.closed => Rest::UntilClose,
            None => return None,
        };
        (body.data == 0 && body.behind == 0).then_some((io, rest))
    }

    /// This many bytes after [`Self::unread`] were forwarded.
    pub fn pass(&mut self, count: usize) {
        if let Self::Pinned { body, .. } | Self::Lent { body, .. } = self {
            body.decoder.pass(count);
        }
    }

    /// The connection has ended: whether the body may end with it.
    pub fn finish_on_eof(&mut self) -> Result<(), Reason> {
        match self {
            Self::Pinned { body, .. } | Self::Lent { body, .. } => {
                body.decoder.finish_on_eof()?;
                body.closed = true;
                Ok(())
            }
            Self::Filtered(filtered) => filtered.inner_mut().finish_on_eof(),
            Self::Nothing | Self::Http2(_) => Ok(()),
        }
    }

    /// Whether an HTTP/1 connection stands exactly behind the body.
    pub fn is_at_its_end(&self) -> bool {
        match self {
            Self::Lent { body, buffer, .. } => {
                !body.closed && body.is_done() && buffer.filled().len() == body.behind
            }
            Self::Filtered(filtered) => filtered.is_done() && filtered.inner().is_at_its_end(),
            Self::Nothing | Self::Pinned { .. } | Self::Http2(_) => self.is_done(),
        }
    }
}

/// A buffer with bytes of a body at its front.
trait BodyStore {
    fn filled(&self) -> &[u8];
    fn consume(&mut self, count: usize);
}

impl BodyStore for HeadBuffer {
    fn filled(&self) -> &[u8] {
        self.body()
    }

    fn consume(&mut self, count: usize) {
        HeadBuffer::consume(self, count);
    }
}

impl BodyStore for Option<Buffer> {
    fn filled(&self) -> &[u8] {
        self.as_ref().map_or(&[], Buffer::filled)
    }

    fn consume(&mut self, count: usize) {
        if let Some(buffer) = self {
            buffer.consume(count);
        }
    }
}

impl Http1Body {
    fn piece<'b>(&'b mut self, store: &'b mut impl BodyStore) -> Result<Piece<'b>, Cause> {
        while self.data == 0 {
            store.consume(std::mem::take(&mut self.behind));
            if self.closed || self.decoder.is_done() {
                return Ok(Piece::End(Trailers::Lines(self.decoder.trailers())));
            }
            let decoded = self.decoder.decode(store.filled())?;
            store.consume(decoded.data.start);
            self.data = decoded.data.len();
            self.behind = decoded.consumed - decoded.data.end;
            if decoded.consumed == 0 && !decoded.done {
                return Ok(Piece::Starved);
            }
        }
        Ok(Piece::Data(Data::Slice(&store.filled()[..self.data])))
    }
}
