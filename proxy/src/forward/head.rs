//! Heads of an upstream's responses, interim ones and the final one.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use h2::RecvStream;
use h2::client::ResponseFuture;

use crate::buffer::{Buffer, BufferPool};
use crate::cause::Cause;
use crate::error::Reason;
use crate::fault::{self, Words};
use crate::http1::body::Side;
use crate::http1::request::Parsed;
use crate::http1::response::{ResponseRules, parse_response};
use crate::http1::scan::HeadScanner;
use crate::http2::client::{is_refused, reset_code};
use crate::http2::head::incoming_response;
use crate::io::Io;
use crate::message::{Framing, ResponseParts};
use crate::relay::read_some;
use crate::relay::reader::{Http1Body, Http2Body, Reading};
use crate::relay::writer::Wire;

/// More interim responses than this are an error (RFC 9110 sets no bound).
pub(super) const MAX_INTERIM: u32 = 16;
/// What an upstream's head may be: as generous as a listener may be set.
pub(super) const RESPONSE_RULES: ResponseRules =
    ResponseRules { head_bytes: 60 * 1024, headers: 256 };

/// The longest method whose name matters for what follows.
const METHOD_ROOM: usize = 16;

/// The request's method, on which the response's framing depends.
#[derive(Clone, Copy)]
pub(super) struct Method {
    name: [u8; METHOD_ROOM],
    length: usize,
}

impl Method {
    pub(super) fn of(method: &[u8]) -> Self {
        let mut name = [0; METHOD_ROOM];
        let length = method.len().min(METHOD_ROOM);
        name[..length].copy_from_slice(&method[..length]);
        Self { name, length }
    }

    fn name(&self) -> &[u8] {
        &self.name[..self.length]
    }
}

/// Where the heads of a response come from.
pub(super) enum HeadReader<'a> {
    Http1(Http1Heads<'a>),
    Http2(Box<Http2Heads>),
}

impl HeadReader<'_> {
    /// Reads until a head is complete. Its bytes are the first of [`HeadReader::bytes`].
    pub(super) async fn next(&mut self, response: &mut ResponseParts) -> Result<(), Cause> {
        match self {
            Self::Http1(heads) => heads.next(response).await,
            Self::Http2(heads) => heads.next(response).await,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Http1(heads) => heads.slot.as_ref().map_or(&[], Buffer::filled),
            Self::Http2(heads) => &heads.bytes,
        }
    }

    /// The body behind the last head, where all of it is here and nothing of it is framing.
    pub(super) fn whole_body(&self, framing: Framing) -> Option<&[u8]> {
        let Self::Http1(_) = self else { return None };
        match framing {
            Framing::None => Some(&[]),
            Framing::Length(length) => self.bytes().get(..usize::try_from(length).ok()?),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Continues after `length` bytes: a head, or the part of its body that was taken.
    pub(super) fn skip(&mut self, length: usize) {
        if let Self::Http1(heads) = self {
            if let Some(buffer) = &mut heads.slot {
                buffer.consume(length);
            }
            heads.scanner = HeadScanner::default();
        }
    }

    /// The body behind the last head; `bytes` gets back what heads were written out into.
    pub(super) fn into_body(self, framing: Framing, bytes: &mut Vec<u8>) -> Reading<'static> {
        match self {
            Self::Http1(heads) => heads.into_body(framing),
            Self::Http2(heads) => {
                let Http2Heads { bytes: written, body, .. } = *heads;
                *bytes = written;
                match body {
                    Some(body) if !framing.is_empty() => {
                        Reading::Http2(Box::new(Http2Body::new(body, Side::Response)))
                    }
                    _ => Reading::Nothing,
                }
            }
        }
    }

    /// The upstream refused the stream without processing the request.
    pub(super) fn was_refused(&self) -> bool {
        matches!(self, Self::Http2(heads) if heads.refused)
    }

    /// What happened to the connection, where that is why there is no head.
    pub(super) fn take_fault(&mut self) -> Option<Words> {
        match self {
            Self::Http1(heads) => heads.fault.take(),
            Self::Http2(heads) => heads.fault.take(),
        }
    }

    /// The code with which the upstream reset the stream.
    pub(super) fn reset_code(&self) -> Option<h2::Reason> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(heads) => heads.reset,
        }
    }
}

/// Reads heads from a stream of an HTTP/2 connection.
pub(super) struct Http2Heads {
    response: ResponseFuture,
    method: Method,
    /// The head that was read last, written out.
    bytes: Vec<u8>,
    /// The stream behind the final head.
    body: Option<RecvStream>,
    refused: bool,
    reset: Option<h2::Reason>,
    fault: Option<Words>,
}

impl Http2Heads {
    /// `bytes` is what heads are written out into.
    pub(super) fn new(response: ResponseFuture, method: Method, bytes: Vec<u8>) -> Self {
        Self { response, method, bytes, body: None, refused: false, reset: None, fault: None }
    }

    async fn next(&mut self, response: &mut ResponseParts) -> Result<(), Cause> {
        let head = std::future::poll_fn(|cx| {
            if let Poll::Ready(Some(interim)) = self.response.poll_informational(cx) {
                return Poll::Ready(interim.map(|interim| interim.map(|()| None)));
            }
            Pin::new(&mut self.response).poll(cx).map_ok(|whole| whole.map(Some))
        })
        .await;
        let (head, body) = match head {
            Ok(head) => head.into_parts(),
            Err(error) => {
                tracing::debug!(%error, "no response on an HTTP/2 stream");
                self.refused = is_refused(&error);
                self.reset = reset_code(&error);
                self.fault = Some(format!("no response on the HTTP/2 stream: {error}").into());
                return Err(Reason::UpstreamReset.into());
            }
        };
        let has_body = body.as_ref().is_some_and(|body| !body.is_end_stream());
        self.body = body;
        let rules = &RESPONSE_RULES;
        incoming_response(&head, has_body, rules, self.method.name(), &mut self.bytes, response)
    }
}

/// Reads heads from an HTTP/1 connection.
pub(super) struct Http1Heads<'a> {
    upstream: Rc<Io>,
    pool: &'a BufferPool,
    method: Method,
    scanner: HeadScanner,
    slot: Option<Buffer>,
    fault: Option<Words>,
}

impl<'a> Http1Heads<'a> {
    pub(super) fn new(upstream: Rc<Io>, pool: &'a BufferPool, method: Method) -> Self {
        Self { upstream, pool, method, scanner: HeadScanner::default(), slot: None, fault: None }
    }

    async fn next(&mut self, response: &mut ResponseParts) -> Result<(), Cause> {
        let limits = RESPONSE_RULES.limits();
        loop {
            if let Some(buffer) = &self.slot
                && !buffer.is_empty()
                && self.scanner.worth_parsing(buffer.filled(), &limits)
                && parse_response(buffer.filled(), &RESPONSE_RULES, self.method.name(), response)?
                    == Parsed::Complete
            {
                return Ok(());
            }
            match read_some(&self.upstream, self.pool, &mut self.slot).await {
                Ok(count) if count > 0 => continue,
                Ok(_) if self.slot.as_ref().is_some_and(|buffer| !buffer.is_empty()) => {
                    self.fault = Some("the endpoint closed the connection inside of a head".into());
                }
                Ok(_) => {
                    self.fault =
                        Some("the endpoint closed the connection without a response".into());
                }
                Err(error) => self.fault = Some(fault::of_io(&error)),
            }
            return Err(Reason::UpstreamReset.into());
        }
    }

    /// The body behind the last head.
    fn into_body(self, framing: Framing) -> Reading<'static> {
        Reading::Lent {
            io: Wire::Upstream(self.upstream),
            pool: self.pool.clone(),
            buffer: self.slot.filter(|buffer| !buffer.is_empty()),
            body: Http1Body::new(framing, Side::Response),
        }
    }
}
