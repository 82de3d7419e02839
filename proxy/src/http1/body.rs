//! Where a body ends, whichever way its head announced it.

use std::ops::Range;

use super::chunked::ChunkedDecoder;
use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::message::Framing;

/// Whose body it is, and so whose fault its flaws are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From a client.
    Request,
    /// From an upstream.
    Response,
}

impl Side {
    pub(super) fn cause(self, rule: Rule) -> Cause {
        match self {
            Self::Request => rule.in_request(),
            Self::Response => Cause { reason: Reason::UpstreamProtocol, rule: Some(rule) },
        }
    }
}

/// What one call found in its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes that belong to this body: framing, payload, trailers.
    pub consumed: usize,
    /// Where in the input the payload stands; may be empty while framing is read.
    pub data: Range<usize>,
    /// The body is complete; what follows `consumed` is not part of it.
    pub done: bool,
}

#[derive(Debug, Clone)]
pub struct BodyDecoder {
    side: Side,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    None,
    Length {
        remaining: u64,
    },
    /// Boxed: it would weigh on every body.
    Chunked(Box<ChunkedDecoder>),
    UntilClose,
}

impl BodyDecoder {
    pub fn new(framing: Framing, side: Side) -> Self {
        let kind = match framing {
            Framing::None => Kind::None,
            Framing::Length(remaining) => Kind::Length { remaining },
            Framing::Chunked => Kind::Chunked(Box::new(ChunkedDecoder::new(side))),
            Framing::UntilClose => Kind::UntilClose,
        };
        Self { side, kind }
    }

    /// Reads on. To be called until it is done or the input is consumed; each call reports at
    /// most one piece of payload.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, Cause> {
        match &mut self.kind {
            Kind::None => Ok(Decoded { consumed: 0, data: 0..0, done: true }),
            Kind::Length { remaining } => {
                let taken = usize::try_from(*remaining)
                    .map_or(input.len(), |remaining| remaining.min(input.len()));
                *remaining -= taken as u64;
                Ok(Decoded { consumed: taken, data: 0..taken, done: *remaining == 0 })
            }
            Kind::Chunked(decoder) => decoder.decode(input),
            Kind::UntilClose => {
                Ok(Decoded { consumed: input.len(), data: 0..input.len(), done: false })
            }
        }
    }

    /// Whether no byte of this body is still to come. One that ends with its connection is never
    /// done.
    /// Bytes of a body of announced length were forwarded without [`Self::decode`].
    pub fn pass(&mut self, count: usize) {
        if let Kind::Length { remaining } = &mut self.kind {
            *remaining = remaining.saturating_sub(count as u64);
        }
    }

    pub fn is_done(&self) -> bool {
        match &self.kind {
            Kind::None => true,
            Kind::Length { remaining } => *remaining == 0,
            Kind::Chunked(decoder) => decoder.is_done(),
            Kind::UntilClose => false,
        }
    }

    /// What the end of the connection means: an error unless the body may end there.
    pub fn finish_on_eof(&self) -> Result<(), Reason> {
        match (&self.kind, self.side) {
            (Kind::UntilClose, _) => Ok(()),
            _ if self.is_done() => Ok(()),
            (_, Side::Request) => Err(Reason::ClientAborted),
            (_, Side::Response) => Err(Reason::UpstreamTruncated),
        }
    }

    /// The body ends with its connection.
    pub fn is_open_ended(&self) -> bool {
        matches!(self.kind, Kind::UntilClose)
    }

    /// Bytes still to come, if the head announced them.
    pub fn remaining(&self) -> Option<u64> {
        match &self.kind {
            Kind::None => Some(0),
            Kind::Length { remaining } => Some(*remaining),
            Kind::Chunked(_) | Kind::UntilClose => None,
        }
    }

    /// The trailer lines that may be passed on, each with its CRLF; empty unless chunked.
    pub fn trailers(&self) -> &[u8] {
        match &self.kind {
            Kind::Chunked(decoder) => decoder.trailers(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let mut body = BodyDecoder::new(Framing::Length(5), Side::Request);
        assert_eq!(body.finish_on_eof(), Err(Reason::ClientAborted));
        let first = body.decode(b"abc").unwrap();
        assert_eq!(first, Decoded { consumed: 3, data: 0..3, done: false });
        assert_eq!(body.remaining(), Some(2));
        let last = body.decode(b"deGET /").unwrap();
        assert_eq!(last, Decoded { consumed: 2, data: 0..2, done: true });
        assert!(body.is_done());
        assert_eq!(body.finish_on_eof(), Ok(()));
        assert_eq!(body.decode(b"GET").unwrap().consumed, 0);
    }

    #[test]
    fn the_end_of_the_connection_is_an_end_only_where_it_may_be() {
        let cases = [
            (Framing::None, Side::Request, Ok(())),
            (Framing::Length(0), Side::Request, Ok(())),
            (Framing::Length(1), Side::Response, Err(Reason::UpstreamTruncated)),
            (Framing::Chunked, Side::Request, Err(Reason::ClientAborted)),
            (Framing::Chunked, Side::Response, Err(Reason::UpstreamTruncated)),
            (Framing::UntilClose, Side::Response, Ok(())),
        ];
        for (framing, side, expected) in cases {
            let body = BodyDecoder::new(framing, side);
            assert_eq!(body.finish_on_eof(), expected, "{framing:?} {side:?}");
        }
    }

    #[test]
    fn a_body_until_close_takes_everything_and_is_never_done() {
        let mut body = BodyDecoder::new(Framing::UntilClose, Side::Response);
        let decoded = body.decode(b"xyz").unwrap();
        assert_eq!(decoded, Decoded { consumed: 3, data: 0..3, done: false });
        assert!(!body.is_done());
    }
}
