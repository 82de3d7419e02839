//! Sends a request to the upstream: its head, then its body as it arrives.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::messages::Messages;
use super::pump::{Halt, Pump, PumpHooks, Wait};
use super::reader::Reading;
use super::writer::Writing;
use super::{WaitStage, Watch, least};
use crate::buffer::HeadBuffer;
use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::pipe::PipePool;

/// A body up to this size that arrives without a wait counts as present from the start, in however
/// many pieces it comes: as much as is read with an HTTP/1 head.
const WITH_ITS_HEAD: u64 = 64 * 1024;

/// Why a request did not reach the upstream completely.
#[derive(Debug)]
pub enum UploadError {
    /// The client's framing was invalid, or the client left, was too slow, or sent too much.
    Client(Cause),
    /// The upstream takes no more bytes. It may still have sent a response.
    Upstream(io::Error),
}

/// One request between two connections.
pub struct Upload<'c> {
    pub pump: Pump<'c>,
    progress: Progress,
}

/// How far a request has come.
struct Progress {
    rules: UploadRules,
    pace: Pace,
    waits: UploadWait,
    messages: Messages,
}

/// The rules for a body from a client.
#[derive(Debug, Clone, Copy)]
pub struct UploadRules {
    /// The most bytes of a body.
    pub limit: u64,
    pub patience: Duration,
    /// How long both sides may be silent once the response has begun; for a call, from its start.
    pub idle: Duration,
    /// A gRPC call: a stream of messages that is limited by `idle`; `limit` holds for each message.
    pub call: bool,
    /// How long the upstream has for its response, once a body that was waited for is sent.
    pub answer_patience: Duration,
    /// When the attempt began, and the deadline for a response of any attempt. The time in which the
    /// client sends its body does not count for the upstream, and is added.
    pub started: Instant,
    pub answer_by: Instant,
    /// The client waits for a 100 before it sends its body: until then the response is awaited.
    pub held_back: bool,
}

#[derive(Debug, Default)]
pub struct UploadCounters {
    /// Decoded body bytes taken from the client.
    pub body: Cell<u64>,
    /// A byte of the request was sent to the upstream.
    pub begun: Cell<bool>,
    /// More of it was waited for than came with its head.
    pub waited: Cell<bool>,
    /// How long that took, from the start of the attempt.
    pub took: Cell<Duration>,
    /// The whole request is sent.
    pub complete: Cell<bool>,
}

/// What the upload waits for. A deadline is set when this changes, not at every poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploadWait {
    Nothing,
    Head,
    Upstream,
    Client,
}

/// How fast a body arrives. Its timeout restarts only after a number of bytes, so that a client that
/// sends a byte now and then cannot hold a connection for ever.
#[derive(Default)]
struct Pace {
    until: Option<Instant>,
    /// The position in the body at which the timeout started.
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
        let progress = Progress {
            rules,
            pace: Pace::default(),
            waits: UploadWait::Head,
            messages: Messages::default(),
        };
        Self { pump: Pump::new(reading, writing, pipes), progress }
    }

    /// Runs until the whole request is sent. `pinned` holds the bytes read after the head.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pinned: &mut Option<HeadBuffer>,
        watch: &Watch<'_>,
        counters: &UploadCounters,
    ) -> Poll<Result<(), UploadError>> {
        let Self { pump, progress } = self;
        let mut policy = FromClient { progress, watch, counters, moved: false };
        match pump.poll(cx, pinned, &mut policy) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                progress.finish(watch, counters);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(halt)) => Poll::Ready(Err(blame(halt))),
        }
    }
}

/// A truncated body is the sender's fault, whatever its framing.
fn blame(halt: Halt) -> UploadError {
    match halt {
        Halt::Malformed(cause) | Halt::Refused(cause) => UploadError::Client(cause),
        Halt::Short => UploadError::Client(Reason::ClientAborted.into()),
        Halt::Full => UploadError::Client(Rule::TrailerBytes.in_request()),
        Halt::Sink(error) => UploadError::Upstream(error),
    }
}

/// The state while a request is sent.
struct FromClient<'a, 'w> {
    progress: &'a mut Progress,
    watch: &'a Watch<'w>,
    counters: &'a UploadCounters,
    /// Bytes were sent since the last wait.
    moved: bool,
}

impl FromClient<'_, '_> {
    fn count(&mut self, count: usize) {
        let body = self.counters.body.get() + count as u64;
        self.counters.body.set(body);
        if body > WITH_ITS_HEAD && self.progress.waits == UploadWait::Head {
            self.progress.waits = UploadWait::Nothing;
            self.counters.waited.set(true);
        }
    }
}

impl PumpHooks for FromClient<'_, '_> {
    fn admit(&mut self, data: &[u8]) -> Result<(), Cause> {
        let rules = &mut self.progress.rules;
        rules.held_back = false;
        let fits = rules.call || self.counters.body.get() + data.len() as u64 <= rules.limit;
        if fits { Ok(()) } else { Err(Rule::BodyLimit.in_request()) }
    }

    fn took(&mut self, data: &[u8]) -> Result<(), Cause> {
        let Progress { rules, messages, .. } = &mut *self.progress;
        if rules.call && !messages.follow(data, rules.limit) {
            return Err(Rule::MessageLimit.in_request());
        }
        self.count(data.len());
        Ok(())
    }

    fn passed(&mut self, count: usize) {
        self.progress.rules.held_back = false;
        self.count(count);
    }

    fn left(&mut self, count: usize) {
        self.moved |= count > 0;
        self.counters.begun.set(true);
    }

    /// Bytes sent there cannot be refused any more.
    fn forgets(&self, writing: &Writing<'_>) -> bool {
        matches!(writing, Writing::Http1(_))
    }

    fn moved(&self) -> u64 {
        self.counters.body.get()
    }

    /// Sets the deadline of a wait. The first write is part of the attempt, whose deadline is set
    /// already.
    fn wait(&mut self, what: Wait) {
        let UploadRules { call, idle, patience, .. } = self.progress.rules;
        let before = self.progress.waits;
        match what {
            Wait::Sink if before == UploadWait::Head => {}
            Wait::Sink if !self.moved && before == UploadWait::Upstream => {}
            Wait::Sink => {
                self.progress.waits = UploadWait::Upstream;
                let patience = if call { idle } else { patience };
                self.watch.expect_upload(WaitStage::UpstreamWrite, Instant::now() + patience);
            }
            Wait::Turn if before == UploadWait::Head => {}
            Wait::Source | Wait::Turn => {
                if what == Wait::Source {
                    self.counters.waited.set(true);
                }
                self.progress.waits = UploadWait::Client;
                if !self.progress.rules.held_back {
                    // A stream may be silent, and its messages short.
                    let streams = call || self.watch.is_answered();
                    let (patience, least) =
                        if streams { (idle, 1) } else { (patience, least(patience)) };
                    let body = self.counters.body.get();
                    let until = self.progress.pace.until(body, patience, least);
                    self.watch.expect_upload(WaitStage::ClientBody, until);
                }
            }
        }
    }
}

impl Progress {
    fn finish(&self, watch: &Watch<'_>, counters: &UploadCounters) {
        counters.complete.set(true);
        let stage = watch.stage.get();
        if counters.waited.get() && !watch.is_answered() {
            let now = Instant::now();
            let UploadRules { answer_patience, started, answer_by, .. } = self.rules;
            let took = now.saturating_duration_since(started);
            counters.took.set(took);
            if stage != WaitStage::ResponseHead {
                watch.stage.set(WaitStage::ResponseHead);
                watch.set((now + answer_patience).min(answer_by + took));
            }
        }
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
            pinned.as_mut().unwrap().keep(usize::MAX);

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
