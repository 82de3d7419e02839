//! The body of a message of HTTP/2: a stream of DATA frames, and what of it can be had again.
//!
//! Knows neither deadlines nor limits but its own bound.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http::HeaderMap;
use smallvec::SmallVec;

use super::reader::{Data, Filled, Piece, Trailers};
use crate::http1::body::Side;
use crate::http2::client::reset_code;
use crate::http2::fields::clean_trailers;
use crate::message::Framing;

/// Chunks that are kept as they came. What comes behind them is copied: a chunk may be tiny and
/// hold much more memory than its bytes.
const SHARED: usize = 4;

/// A body in DATA frames. Its window is given back as the bytes go on.
pub struct Http2Body {
    stream: RecvStream,
    side: Side,
    chunk: Bytes,
    /// Bytes of an announced length that have not come; 0 also where none was announced.
    left: u64,
    /// The last byte of that length, until the peer has said that it is the last.
    held: Bytes,
    kept: Option<KeptBytes>,
    /// Bytes that were taken since the body began, or began again; and the most that ever were,
    /// for which the window was given back.
    taken: u64,
    released: u64,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// What the peer said where it broke the stream off.
    reset: Option<h2::Reason>,
}

/// All of a body that was read so far.
struct KeptBytes {
    shared: SmallVec<[Bytes; SHARED]>,
    /// What came behind those.
    copied: Vec<u8>,
    length: usize,
    most: usize,
    /// The piece that is to be read again next; all have been where there is none.
    next: usize,
    /// It is still wanted, to be read once more.
    wanted: bool,
}

impl KeptBytes {
    fn new(most: usize) -> Self {
        let (shared, copied) = (SmallVec::new(), Vec::new());
        Self { shared, copied, length: 0, most, next: 0, wanted: true }
    }

    /// False when that is more than may be kept.
    fn push(&mut self, chunk: &Bytes) -> bool {
        self.length += chunk.len();
        if self.length > self.most {
            return false;
        }
        if self.shared.len() < SHARED {
            self.shared.push(chunk.clone());
        } else {
            self.copied.extend_from_slice(chunk);
        }
        self.next = self.pieces();
        true
    }

    fn pieces(&self) -> usize {
        self.shared.len() + usize::from(!self.copied.is_empty())
    }

    fn is_being_read(&self) -> bool {
        self.next < self.pieces()
    }

    fn read(&mut self) -> Option<Bytes> {
        let piece = match self.shared.get(self.next) {
            Some(piece) => piece.clone(),
            None if self.is_being_read() => Bytes::copy_from_slice(&self.copied),
            None => return None,
        };
        self.next += 1;
        Some(piece)
    }
}

impl Http2Body {
    pub fn new(stream: RecvStream, side: Side) -> Self {
        let ended = stream.is_end_stream();
        Self {
            stream,
            side,
            chunk: Bytes::new(),
            left: 0,
            held: Bytes::new(),
            kept: None,
            taken: 0,
            released: 0,
            trailers: None,
            ended,
            reset: None,
        }
    }

    /// Keeps the last byte of an announced length back until the stream has ended: what goes on
    /// behind its length must not have arrived whole before that shows. To be said before any of
    /// it is read.
    pub fn announce(&mut self, framing: Framing) {
        if let Framing::Length(length) = framing {
            self.left = length;
        }
    }

    pub fn stream_mut(&mut self) -> &mut RecvStream {
        &mut self.stream
    }

    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    pub(super) fn reset_code(&self) -> Option<h2::Reason> {
        self.reset
    }

    /// Keeps the bytes read from here on, up to the limit. Call it before any is read.
    pub fn keep(&mut self, most: usize) {
        self.kept = Some(KeptBytes::new(most));
    }

    /// The bytes that were read will not be needed again.
    pub fn forget(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.wanted = false;
            if !kept.is_being_read() {
                self.kept = None;
            }
        }
    }

    /// Comes back to the beginning. False when not all of it is here.
    pub fn rewind(&mut self) -> bool {
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.wanted) else {
            return self.taken == 0;
        };
        kept.next = 0;
        self.chunk = Bytes::new();
        self.taken = 0;
        true
    }

    fn is_over(&self) -> bool {
        self.ended && !self.kept.as_ref().is_some_and(KeptBytes::is_being_read)
    }

    pub(super) fn is_done(&self) -> bool {
        self.chunk.is_empty() && self.is_over()
    }

    pub(super) fn piece(&self) -> Piece<'_> {
        if !self.chunk.is_empty() {
            Piece::Data(Data::Shared(&self.chunk))
        } else if self.is_over() {
            Piece::End(self.trailers().map_or(Trailers::None, Trailers::Map))
        } else {
            Piece::Starved
        }
    }

    pub(super) fn take(&mut self, count: usize) {
        self.chunk.advance(count);
        self.taken += count as u64;
        let new = self.taken.saturating_sub(self.released);
        self.released += new;
        // At most `count`. Fails only on a stream that is gone, which the next read tells.
        let new = usize::try_from(new).unwrap_or(count);
        let _ = self.stream.flow_control().release_capacity(new);
    }

    fn broke(&mut self, error: h2::Error) -> io::Error {
        self.reset = reset_code(&error);
        io::Error::other(error)
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        while self.chunk.is_empty() {
            if let Some(again) = self.read_again() {
                self.chunk = again;
                continue;
            }
            if self.ended {
                break;
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(chunk)) => self.receive(chunk),
                Some(Err(error)) => return Poll::Ready(Err(self.broke(error))),
                None => {
                    let trailers = ready!(self.stream.poll_trailers(cx));
                    let trailers = trailers.map_err(|error| self.broke(error))?;
                    self.trailers = trailers.map(|trailers| clean_trailers(trailers, self.side));
                    self.chunk = std::mem::take(&mut self.held);
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(Filled::Some))
    }

    fn receive(&mut self, chunk: Bytes) {
        if !chunk.is_empty()
            && let Some(kept) = &mut self.kept
            && !kept.push(&chunk)
        {
            self.kept = None;
        }
        let left = self.left;
        self.left = left.saturating_sub(chunk.len() as u64);
        self.chunk = chunk;
        if left > 0 && self.left == 0 && !self.stream.is_end_stream() {
            self.held = self.chunk.split_off(self.chunk.len() - 1);
        }
    }

    /// The next of what was kept. A last byte that is still held back stays so.
    fn read_again(&mut self) -> Option<Bytes> {
        let kept = self.kept.as_mut()?;
        let mut piece = kept.read()?;
        if !kept.is_being_read() {
            piece.truncate(piece.len() - self.held.len());
            if !kept.wanted {
                self.kept = None;
            }
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A request with this body in frames of that size, read by ours.
    async fn body(bytes: &'static [u8], frame: usize) -> Http2Body {
        let (ours, theirs) = duplex(1 << 20);
        let (out, stream) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(ours).await.unwrap();
            let (request, _respond) = connection.accept().await.unwrap().unwrap();
            let _ = out.send(request.into_body());
            while connection.accept().await.is_some() {}
        });
        let (send, connection) = h2::client::handshake(theirs).await.unwrap();
        tokio::spawn(connection);
        let mut send = send.ready().await.unwrap();
        let request = http::Request::post("http://a/").body(()).unwrap();
        let (response, mut sending) = send.send_request(request, false).unwrap();
        tokio::spawn(async move {
            for piece in bytes.chunks(frame) {
                sending.send_data(Bytes::from_static(piece), false).unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("checksum", "1".parse().unwrap());
            sending.send_trailers(trailers).unwrap();
            let _ = response.await;
        });
        let mut body = Http2Body::new(stream.await.unwrap(), Side::Request);
        body.announce(Framing::Length(bytes.len() as u64));
        body
    }

    /// Reads up to a number of bytes, in pieces; whether the end was reached.
    async fn take(body: &mut Http2Body, most: usize, step: usize) -> (Vec<u8>, bool) {
        let mut taken = Vec::new();
        while taken.len() < most {
            let count = match body.piece() {
                Piece::End(trailers) => {
                    assert!(matches!(trailers, Trailers::Map(map) if map["checksum"] == "1"));
                    return (taken, true);
                }
                Piece::Starved => {
                    std::future::poll_fn(|cx| body.poll_fill(cx)).await.unwrap();
                    continue;
                }
                Piece::Data(data) => {
                    let piece = data.as_slice();
                    let count = piece.len().min(step).min(most - taken.len());
                    taken.extend_from_slice(&piece[..count]);
                    count
                }
            };
            body.take(count);
        }
        (taken, false)
    }

    const BODY: &[u8] = b"a body of some length, in frames";

    #[tokio::test]
    async fn what_was_read_can_be_read_again_from_anywhere() {
        for frame in [1, 3, 8, BODY.len()] {
            for stop in 0..=BODY.len() + 1 {
                let mut body = body(BODY, frame).await;
                body.keep(BODY.len());
                take(&mut body, stop, 2).await;
                assert!(body.rewind());
                take(&mut body, stop / 2, 5).await;
                assert!(body.rewind(), "and once more");
                let (taken, ended) = take(&mut body, usize::MAX, 7).await;
                assert_eq!(
                    (&taken[..], ended, body.is_done()),
                    (BODY, true, true),
                    "{frame} {stop}"
                );
            }
        }
    }

    #[tokio::test]
    async fn what_is_forgotten_is_still_read_to_its_end() {
        for stop in [0, 1, 20] {
            let mut body = body(BODY, 3).await;
            body.keep(usize::MAX);
            take(&mut body, 20, 2).await;
            assert!(body.rewind());
            let (first, _) = take(&mut body, stop, 2).await;
            body.forget();
            assert_eq!(body.rewind(), stop == 0, "{stop}");
            let (rest, ended) = take(&mut body, usize::MAX, 7).await;
            assert_eq!((&[first, rest].concat()[..], ended), (BODY, true), "{stop}");
            assert!(body.kept.is_none());
        }
    }

    #[tokio::test]
    async fn a_body_beyond_its_bound_is_not_kept() {
        for (most, kept) in [(BODY.len(), true), (BODY.len() - 1, false)] {
            let mut body = body(BODY, 5).await;
            body.keep(most);
            take(&mut body, usize::MAX, 7).await;
            assert_eq!(body.rewind(), kept, "{most}");
        }
    }
}
