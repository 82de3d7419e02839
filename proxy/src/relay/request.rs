//! A request on its way to the upstream: its head, then its body as it comes.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::messages::Messages;
use super::reader::{Filled, Piece, Reading};
use super::spliced::{Broken, Carried, Spliced};
use super::writer::Writing;
use super::{Stage, Watch, least};
use crate::buffer::HeadBuffer;
use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::pipe::PipePool;

/// A body up to here that never keeps anybody waiting counts as there from the start, in however
/// many pieces it comes: as much as is read with a head of HTTP/1.
const WITH_ITS_HEAD: u64 = 64 * 1024;

/// Why a request did not reach the upstream whole.
#[derive(Debug)]
pub enum UploadError {
    /// The client broke its own framing, went away, or was too slow or too large.
    Client(Cause),
    /// The upstream does not take more. Its answer may be there all the same.
    Upstream(io::Error),
}

/// One request between two connections.
pub struct Upload<'c> {
    pub reading: Reading<'c>,
    pub writing: Writing<'c>,
    pub rules: UploadRules,
    pace: Pace,
    waits: Waits,
    messages: Messages,
    spliced: Spliced<'c>,
}

/// What holds for a body from a client.
#[derive(Debug, Clone, Copy)]
pub struct UploadRules {
    /// Bytes that a body may have.
    pub limit: u64,
    pub patience: Duration,
    /// How long both sides may be quiet once the response has begun; of a call, from its start.
    pub idle: Duration,
    /// A call of gRPC: a stream of messages that lives by `idle`, and of which `limit` is what
    /// each message may have.
    pub call: bool,
    /// How long the upstream has for its answer once a body that was waited for has been sent.
    pub answer_patience: Duration,
    /// When the attempt began, and when there is to be an answer of whichever attempt: what the
    /// client takes to send its body is not the upstream's time, and added.
    pub started: Instant,
    pub answer_by: Instant,
    /// The client waits for a 100 before it sends its body: until then the response is awaited.
    pub held_back: bool,
}

#[derive(Debug, Default)]
pub struct UploadCounters {
    /// Decoded body bytes taken from the client.
    pub body: Cell<u64>,
    /// Some byte of the request has left for the upstream.
    pub begun: Cell<bool>,
    /// More of it was waited for than came with its head.
    pub waited: Cell<bool>,
    /// How long that took, from the begin of the attempt.
    pub took: Cell<Duration>,
    /// The whole request has left.
    pub complete: Cell<bool>,
}

/// What the upload stands still for; a deadline is set when that changes, not at every look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Nothing,
    Head,
    Upstream,
    Client,
}

/// How fast a body comes. A client that sends a byte now and then does not hold a connection
/// for ever: its time begins anew only with so many bytes.
#[derive(Default)]
struct Pace {
    until: Option<Instant>,
    /// Where in the body the time began.
    from: u64,
}

impl Pace {
    fn until(&mut self, body: u64, patience: Duration, least: u64) -> Instant {
        match self.until {
            Some(until) if body - self.from < least => until,
            _ => {
                let until = Instant::now() + patience;
                (self.until, self.from) = (Some(until), body);
                until
            }
        }
    }
}

impl<'c> Upload<'c> {
    pub fn new(
        reading: Reading<'c>,
        writing: Writing<'c>,
        pipes: &'c PipePool,
        rules: UploadRules,
    ) -> Self {
        Self {
            reading,
            writing,
            rules,
            pace: Pace::default(),
            waits: Waits::Head,
            messages: Messages::default(),
            spliced: Spliced::new(pipes),
        }
    }

    /// Goes on until the whole request has left. `pinned` holds what was read behind the head.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pinned: &mut Option<HeadBuffer>,
        watch: &Watch<'_>,
        counters: &UploadCounters,
    ) -> Poll<Result<(), UploadError>> {
        let mut moved = false;
        let mut progress = |count: usize| {
            moved |= count > 0;
            counters.begun.set(true);
        };
        let outcome = loop {
            if counters.body.get() > WITH_ITS_HEAD && self.waits == Waits::Head {
                self.waits = Waits::Nothing;
                counters.waited.set(true);
            }
            match self.reading.piece(pinned).map_err(UploadError::Client)? {
                Piece::Data(data) => {
                    self.rules.held_back = false;
                    let body = counters.body.get();
                    let fits =
                        self.rules.call || body + data.as_slice().len() as u64 <= self.rules.limit;
                    if !fits {
                        let cause = Rule::BodyLimit.in_request();
                        return Poll::Ready(Err(UploadError::Client(cause)));
                    }
                    match self.writing.poll_data(cx, data, &mut progress) {
                        Poll::Ready(Ok(count)) => {
                            let taken = &data.as_slice()[..count];
                            if self.rules.call && !self.messages.follow(taken, self.rules.limit) {
                                let cause = Rule::MessageLimit.in_request();
                                return Poll::Ready(Err(UploadError::Client(cause)));
                            }
                            self.reading.take(pinned, count);
                            counters.body.set(body + count as u64);
                        }
                        Poll::Ready(Err(error)) => break Err(error),
                        Poll::Pending => break Ok(Waits::Upstream),
                    }
                }
                Piece::End(trailers) => {
                    self.writing.end(trailers);
                    match self.writing.poll_flush(cx, &mut progress) {
                        Poll::Ready(Ok(())) => {
                            self.finish(watch, counters);
                            return Poll::Ready(Ok(()));
                        }
                        Poll::Ready(Err(error)) => break Err(error),
                        Poll::Pending => break Ok(Waits::Upstream),
                    }
                }
                Piece::Starved => {
                    match self.writing.poll_flush(cx, &mut progress) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => break Err(error),
                        Poll::Pending => break Ok(Waits::Upstream),
                    }
                    if let (Writing::Http1(_), Some(buffer)) = (&self.writing, &mut *pinned) {
                        // What has left there cannot be refused any more.
                        buffer.forget();
                    }
                    let source = self.reading.unread(pinned);
                    match self.spliced.poll(cx, source, self.writing.open_end()) {
                        Poll::Ready(Ok(Carried::Some(count))) => {
                            self.rules.held_back = false;
                            progress(count);
                            self.reading.pass(count);
                            counters.body.set(counters.body.get() + count as u64);
                            continue;
                        }
                        Poll::Ready(Ok(Carried::Eof) | Err(Broken::Source)) => {
                            return Poll::Ready(Err(UploadError::Client(
                                Reason::ClientAborted.into(),
                            )));
                        }
                        Poll::Ready(Err(Broken::Sink)) => {
                            break Err(io::ErrorKind::BrokenPipe.into());
                        }
                        Poll::Ready(Ok(Carried::Unfit)) => {}
                        Poll::Pending if self.spliced.holds_some() => break Ok(Waits::Upstream),
                        Poll::Pending => {
                            counters.waited.set(true);
                            break Ok(Waits::Client);
                        }
                    }
                    match self.reading.poll_fill(cx, pinned) {
                        Poll::Ready(filled) => judge(filled).map_err(UploadError::Client)?,
                        Poll::Pending => {
                            counters.waited.set(true);
                            break Ok(Waits::Client);
                        }
                    }
                }
            }
        };
        match outcome {
            Err(error) => Poll::Ready(Err(UploadError::Upstream(error))),
            Ok(waits) => {
                self.wait(waits, moved, watch, counters);
                Poll::Pending
            }
        }
    }

    /// Sets the deadline of what is waited for. The first write is part of the attempt, whose
    /// deadline stands already.
    fn wait(&mut self, waits: Waits, moved: bool, watch: &Watch<'_>, counters: &UploadCounters) {
        match waits {
            Waits::Upstream if self.waits == Waits::Head => {}
            Waits::Upstream if !moved && self.waits == waits => {}
            Waits::Upstream => {
                self.waits = waits;
                let UploadRules { call, idle, patience, .. } = self.rules;
                let patience = if call { idle } else { patience };
                watch.expect_upload(Stage::UpstreamWrite, Instant::now() + patience);
            }
            Waits::Client => {
                self.waits = waits;
                if !self.rules.held_back {
                    let UploadRules { call, idle, patience, .. } = self.rules;
                    // A stream may be quiet, and its messages short.
                    let streams = call || watch.is_answered();
                    let (patience, least) =
                        if streams { (idle, 1) } else { (patience, least(patience)) };
                    let until = self.pace.until(counters.body.get(), patience, least);
                    watch.expect_upload(Stage::ClientBody, until);
                }
            }
            Waits::Nothing | Waits::Head => {}
        }
    }

    fn finish(&self, watch: &Watch<'_>, counters: &UploadCounters) {
        counters.complete.set(true);
        let stage = watch.stage.get();
        if counters.waited.get() && !watch.is_answered() {
            let now = Instant::now();
            let UploadRules { answer_patience, started, answer_by, .. } = self.rules;
            let took = now.saturating_duration_since(started);
            counters.took.set(took);
            if stage != Stage::ResponseHead {
                watch.stage.set(Stage::ResponseHead);
                watch.set((now + answer_patience).min(answer_by + took));
            }
        }
    }
}

/// A body that is cut short is its sender's fault, whatever its framing.
fn judge(filled: io::Result<Filled>) -> Result<(), Cause> {
    match filled {
        Ok(Filled::Some) => Ok(()),
        Ok(Filled::Full) => Err(Rule::TrailerBytes.in_request()),
        Ok(Filled::Eof) | Err(_) => Err(Reason::ClientAborted.into()),
    }
}

#[cfg(test)]
mod times;

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::buffer::BufferPool;
    use crate::deadline::Deadline;
    use crate::http1::body::Side;
    use crate::io::Io;
    use crate::io::testing::pair;
    use crate::message::Framing;
    use crate::relay::reader::Http1Body;
    use crate::relay::writer::{Http1Writing, Wire};

    pub(super) const HEAD: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

    async fn send(
        client: &Io,
        upstream: Io,
        framing: Framing,
        pinned: &mut Option<HeadBuffer>,
    ) -> (Result<(), UploadError>, UploadCounters) {
        let body = Http1Body::new(framing, Side::Request);
        let writing = Http1Writing::new(Wire::Upstream(Rc::new(upstream)), HEAD.to_vec(), framing);
        let patience = Duration::from_secs(5);
        let rules = UploadRules {
            limit: 100,
            patience,
            idle: patience,
            call: false,
            answer_patience: patience,
            started: Instant::now(),
            answer_by: Instant::now() + patience,
            held_back: false,
        };
        let pipes = PipePool::default();
        let mut upload = Upload::new(
            Reading::Pinned { io: client, body },
            Writing::Http1(writing),
            &pipes,
            rules,
        );

        let deadline = Deadline::at(Instant::now() + patience);
        let watch = Watch::new(&deadline, None);
        let counters = UploadCounters::default();
        let sent = std::future::poll_fn(|cx| upload.poll(cx, pinned, &watch, &counters)).await;
        (sent, counters)
    }

    /// A connection that dies before it takes the first byte costs the request nothing: the
    /// body that was read with its head is whole for the next attempt.
    #[tokio::test]
    async fn what_was_not_sent_can_be_sent_again() {
        let cases = [
            (Framing::Length(5), &b"hello"[..], &b"hello"[..]),
            (Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ];
        for (framing, body, expected) in cases {
            let (client, _client_end) = pair().await;
            let mut buffer = BufferPool::default().take();
            buffer.spare()[..HEAD.len()].copy_from_slice(HEAD);
            buffer.spare()[HEAD.len()..HEAD.len() + body.len()].copy_from_slice(body);
            buffer.commit(HEAD.len() + body.len());
            let mut pinned = Some(buffer.pin_head(HEAD.len()));
            pinned.as_mut().unwrap().keep();

            let (dead, peer) = pair().await;
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            dead.readable().await.unwrap();
            let (sent, counters) = send(&client, dead, framing, &mut pinned).await;
            assert!(matches!(sent, Err(UploadError::Upstream(_))), "{sent:?}");
            assert!(!counters.begun.get());

            assert!(pinned.as_mut().unwrap().rewind());
            let (alive, mut peer) = pair().await;
            let (sent, counters) = send(&client, alive, framing, &mut pinned).await;
            assert!(sent.is_ok() && counters.complete.get());
            let mut seen = vec![0; HEAD.len() + expected.len()];
            peer.read_exact(&mut seen).await.unwrap();
            assert_eq!(&seen[HEAD.len()..], expected);
        }
    }
}
