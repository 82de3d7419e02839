//! HTTP/2 connections of clients: streams in, each handled in a task of its own.
//!
//! Knows connections and their end; what a request is to become is the handler's.

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Deref};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use tokio::time::Instant;

use super::meter::Meter;
use super::metered::Metered;
use super::transport::Transport;
use crate::buffer::Buffer;
use crate::connection::{self, Client};
use crate::error::Reason;
use crate::handler;
use crate::io::Io;
use crate::listener::Failed;
use crate::observe::failure::Failure;
use crate::worker::Worker;

/// What every client's connection begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that a client may have open at once.
const MAX_STREAMS: u32 = 100;
/// Bytes of a body that a client may send ahead of us, on a stream and on all of them.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a response that wait inside the connection for the client to take them.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests taken back before anybody has looked at them: a client may change its mind about all
/// that it may have open. They reach no upstream, and the meter counts them too.
const MAX_UNSEEN_RESETS: usize = MAX_STREAMS as usize;
/// Streams that a client's own mistakes may end, in a connection's whole life. Each may have cost
/// an upstream a request, as if the client itself had taken it back.
const MAX_MISTAKES: usize = 200;
/// Streams that we broke off are remembered for so long, so that what a client had already sent
/// for them does not count as a mistake: at 1 Mbit/s a full window takes two seconds.
const REMEMBER_RESETS: Duration = Duration::from_secs(5);

/// How long a client that was told goodbye has to answer, or to take what it is told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One request of a connection.
pub struct Stream {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

/// The connection's bytes, owned together with its other facts.
struct Shared(Rc<Client>);

impl Deref for Shared {
    type Target = Io;

    fn deref(&self) -> &Io {
        &self.0.io
    }
}

/// Serves until the client leaves, the connection is drained, or nothing happens for too long.
/// `first` holds what was read of it already.
pub async fn serve(worker: Rc<Worker>, client: Rc<Client>, first: Option<Buffer>) {
    let current = worker.current_of(&client.listener);
    let Some(listener) = current.listener(client.listener.id) else { return };
    let timeouts = &listener.settings.timeouts;
    let (head, idle) = (*timeouts.head, *timeouts.idle);
    let transport = Transport::new(Shared(Rc::clone(&client)), first);
    let (transport, meter) = Metered::new(transport);
    client.deadline.set(Instant::now() + head);
    let mut builder = h2::server::Builder::new();
    if listener.settings.upgrades.websocket {
        builder.enable_connect_protocol();
    }
    let handshake = builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // More than is let pass: what is above this is refused by the crate, without our words.
        .max_header_list_size(u32::try_from(2 * listener.rules.head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(Some(MAX_MISTAKES))
        .max_concurrent_reset_streams(MAX_STREAMS as usize)
        .reset_stream_duration(REMEMBER_RESETS)
        // The budget of small DATA frames is the library's own: half of the connection's window.
        .handshake::<_, Bytes>(transport);
    let metrics = Arc::clone(&listener.metrics);
    drop(current);
    let ended = match client.deadline.bound(handshake).await {
        Ok(Ok(connection)) => {
            client.quiet_since.set(Instant::now());
            let idle = if idle.is_zero() { head } else { idle };
            let meter = Rc::clone(&meter);
            let mut session = Session::new(connection, &client, meter, head, idle);
            let mut served = 0;
            loop {
                match std::future::poll_fn(|cx| session.poll_stream(cx)).await {
                    ControlFlow::Continue(stream) => {
                        let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
                        let open = Open::begin(&session.streams);
                        tokio::task::spawn_local(async move {
                            // Boxed: a task's future is moved more than once before it runs.
                            let stream = handler::handle_stream(&worker, &client, stream, served);
                            if Box::pin(stream).await == Some(Reason::ClientSlow) {
                                open.0.stood_still.set(true);
                            }
                        });
                        served += 1;
                    }
                    ControlFlow::Break(ended) => break ended,
                }
            }
        }
        Ok(Err(error)) => Broken::of(&error, &meter.borrow()),
        Err(_) => None,
    };
    if let Some(Broken { failure, cause }) = ended {
        let sni = client.tls.as_ref().and_then(|tls| tls.sni.as_deref());
        let failed = Failed::new(failure, &metrics, worker.id(), client.address);
        Failed { sni, ..failed }.tell(cause);
    }
    connection::close(&worker, &client).await;
}

/// What comes next on a connection: a stream, or its end with what was wrong with the client, if
/// anything was.
type Step = ControlFlow<Option<Broken>, Stream>;

/// A connection between two of its streams.
struct Session<'a> {
    connection: Connection<Metered<Transport<Shared>>, Bytes>,
    client: &'a Client,
    meter: Rc<RefCell<Meter>>,
    streams: Rc<Streams>,
    phase: Phase,
    /// How long a head may take, and the end of that for one that has begun.
    head: Duration,
    late: Option<Instant>,
    idle: Duration,
    /// A request has come.
    begun: bool,
    /// When it began, later when it was told goodbye.
    told: Instant,
    /// Bytes that had gone to the client when that was last looked at, and when it last changed.
    sent: u64,
    moved: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client was told that no other stream will be taken; it has a moment to hear of it.
    Leaving,
    /// It has had that moment, or deserves none: streams that it still opens are refused.
    Left,
    /// It was told to go for what it did, and has a moment to take it.
    Flooded,
    /// The same, for a head that took too long.
    Slow,
}

impl<'a> Session<'a> {
    fn new(
        connection: Connection<Metered<Transport<Shared>>, Bytes>,
        client: &'a Client,
        meter: Rc<RefCell<Meter>>,
        head: Duration,
        idle: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            connection,
            client,
            meter,
            streams: Rc::default(),
            phase: Phase::Open,
            head,
            late: None,
            idle,
            begun: false,
            told: now,
            sent: 0,
            moved: now,
        }
    }

    /// Moves the connection on until a request is there, or its end.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.client.registration.listen(cx);
        if self.client.deadline.is_cut() && !self.is_sent_away() {
            return Poll::Ready(ControlFlow::Break(None));
        }
        self.client.deadline.moves();
        if self.phase == Phase::Open && self.is_to_leave() {
            self.leave();
        }
        if self.phase == Phase::Leaving && self.client.registration.is_dismissed() {
            self.phase = Phase::Left;
        }
        loop {
            let polled = self.connection.poll_accept(cx);
            if !self.is_sent_away() && self.meter.borrow().is_spent() {
                self.send_away(Phase::Flooded);
                continue;
            }
            match polled {
                // What a flood brought along is not begun.
                Poll::Ready(Some(Ok(_))) if self.is_sent_away() => continue,
                Poll::Ready(Some(Ok((_, mut respond)))) if self.phase == Phase::Left => {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                    continue;
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (head, body) = request.into_parts();
                    self.begun = true;
                    return Poll::Ready(ControlFlow::Continue(Stream { head, body, respond }));
                }
                Poll::Ready(Some(Err(error))) => {
                    let broken = || Broken::of(&error, &self.meter.borrow());
                    return Poll::Ready(ControlFlow::Break(self.verdict().or_else(broken)));
                }
                Poll::Ready(None) => return Poll::Ready(ControlFlow::Break(self.verdict())),
                Poll::Pending => {}
            }
            let handled = self.streams.any(cx);
            let late = self.head_until();
            match self.phase {
                Phase::Flooded | Phase::Slow => {}
                _ if late.is_some() => late.into_iter().for_each(|at| self.client.deadline.set(at)),
                Phase::Left if handled => return Poll::Pending,
                // Whoever took nothing of an answer and asks for nothing else is not waited for.
                Phase::Open if !handled && self.streams.stood_still.get() => {
                    self.leave();
                    continue;
                }
                Phase::Open => {
                    let idle = (!handled).then(|| self.patience(self.idle));
                    match idle.into_iter().chain(self.client.ends_at).min() {
                        Some(until) => self.client.deadline.set(until),
                        None => return Poll::Pending,
                    }
                }
                Phase::Leaving | Phase::Left if !handled => {
                    let until = self.patience(LAST_WORDS);
                    self.client.deadline.set(until);
                }
                Phase::Leaving | Phase::Left => {}
            }
            if self.client.deadline.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            match self.phase {
                _ if late.is_some() && !self.is_sent_away() => {
                    self.send_away(Phase::Slow);
                    continue;
                }
                Phase::Open if self.client.is_aged() || !self.connection.has_streams() => {
                    self.leave()
                }
                Phase::Leaving if handled => {
                    self.phase = Phase::Left;
                    return Poll::Pending;
                }
                // It takes nothing of what it was answered, or does not even answer the last ping.
                _ => return Poll::Ready(ControlFlow::Break(self.verdict())),
            }
        }
    }

    /// While memory is short the goodbye comes with the first answer, not before any.
    fn is_to_leave(&self) -> bool {
        let registration = &self.client.registration;
        registration.is_ending() && (self.begun || registration.is_draining())
    }

    /// Until when the connection may be quiet now that no stream is being handled.
    fn patience(&mut self, quiet: Duration) -> Instant {
        let since = self.client.quiet_since.get().max(self.told);
        if self.connection.has_streams() {
            // The last bytes of responses stand inside the connection: as long as the client
            // takes some, it is not quiet.
            let sent = self.meter.borrow().sent();
            if std::mem::replace(&mut self.sent, sent) != sent {
                self.moved = Instant::now();
            }
            since.max(self.moved) + self.client.patience
        } else {
            since + quiet
        }
    }

    /// Until when the rest of a head that has begun may come.
    fn head_until(&mut self) -> Option<Instant> {
        if !self.meter.borrow().is_in_head() {
            self.late = None;
        } else if self.late.is_none() {
            self.late = Some(Instant::now() + self.head);
        }
        self.late
    }

    fn verdict(&self) -> Option<Broken> {
        let (_, dearest) = self.meter.borrow().last_frames();
        match self.phase {
            Phase::Flooded => Some(Broken {
                failure: Failure::Flood,
                cause: format!("too many frames that lead to nothing, at last {dearest}"),
            }),
            Phase::Slow => Some(Broken {
                failure: Failure::SlowHead,
                cause: format!("a head was not whole within {:?}", self.head),
            }),
            Phase::Open | Phase::Leaving | Phase::Left => None,
        }
    }

    fn is_sent_away(&self) -> bool {
        matches!(self.phase, Phase::Flooded | Phase::Slow)
    }

    /// Ends everything at once; the client has a moment to hear of it.
    fn send_away(&mut self, phase: Phase) {
        self.phase = phase;
        self.connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        self.client.deadline.set(Instant::now() + LAST_WORDS);
    }

    /// Says goodbye; what is under way goes on to its end.
    fn leave(&mut self) {
        self.phase = Phase::Leaving;
        self.connection.graceful_shutdown();
        self.told = Instant::now();
        let patience = self.client.registration.grace().max(LAST_WORDS);
        self.client.deadline.set(self.told + patience);
    }
}

/// What was wrong with a client whose connection is broken off.
struct Broken {
    failure: Failure,
    cause: String,
}

impl Broken {
    /// Of a client of which the library wants to hear no more; nothing when it is the client that
    /// left.
    fn of(error: &h2::Error, meter: &Meter) -> Option<Self> {
        let failure = match error.reason() {
            _ if !error.is_library() => return None,
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Failure::Flood,
            _ => Failure::Protocol,
        };
        let (last, _) = meter.last_frames();
        Some(Self { failure, cause: format!("{error}; the client's last frame was {last}") })
    }
}

/// The streams that are being handled.
#[derive(Default)]
struct Streams {
    count: Cell<u32>,
    /// One of them was reset because the client took nothing of it.
    stood_still: Cell<bool>,
    /// Whoever waits for the last of them: the library wakes nobody for a stream that ends while
    /// nothing can be written, and then no deadline would be looked at any more.
    waiting: RefCell<Option<Waker>>,
}

impl Streams {
    /// Whether there are any; if so, the task is woken when the last one ends.
    fn any(&self, cx: &Context<'_>) -> bool {
        let any = self.count.get() > 0;
        if any {
            let mut waiting = self.waiting.borrow_mut();
            match &mut *waiting {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waiting = Some(cx.waker().clone()),
            }
        }
        any
    }
}

/// Counts a stream until its task has ended.
struct Open(Rc<Streams>);

impl Open {
    fn begin(streams: &Rc<Streams>) -> Self {
        streams.count.set(streams.count.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if left == 0
            && let Some(waker) = self.0.waiting.take()
        {
            waker.wake();
        }
    }
}
