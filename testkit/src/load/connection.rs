//! One of the load's connections: takes turns, sends, reads, and says how each request ended.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::time::{Instant, timeout_at};

use super::arrival::acknowledged;
use super::pacer::{Pacer, Turn};
use super::report::{Failure, Outcome, Report};
use super::{Load, LoadRequest, Progress, Tls};
use crate::client::Stream;
use crate::http::{Decoder, Response};

pub(super) struct Worker {
    number: usize,
    load: Arc<Load>,
    pacer: Arc<Pacer>,
    progress: Arc<Progress>,
    report: Report,
}

/// A keep-alive connection and what it has read.
pub(super) struct Connection {
    stream: Stream,
    decoder: Decoder,
    bytes: Vec<u8>,
    /// Requests answered on it.
    answered: u64,
}

/// What stirred on a connection between two requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stir {
    Closed,
    /// Bytes that answer no request.
    Unasked,
}

/// Why a request got no good response.
pub(super) type Unhappy = (Outcome, String);

impl Worker {
    pub(super) fn new(
        number: usize,
        load: Arc<Load>,
        pacer: Arc<Pacer>,
        progress: Arc<Progress>,
    ) -> Self {
        Self { number, load, pacer, progress, report: Report::new(0) }
    }

    pub(super) async fn run(mut self) -> Report {
        let mut connection: Option<Connection> = None;
        loop {
            let turn = match &mut connection {
                None => self.pacer.turn().await,
                Some(idle) => tokio::select! {
                    // A close that has already come is noticed before a request is lost to it.
                    biased;
                    stir = idle.stir() => {
                        match stir {
                            Stir::Closed => self.report.idle_closes += 1,
                            Stir::Unasked => self.report.unasked += 1,
                        }
                        connection = None;
                        continue;
                    }
                    turn = self.pacer.turn() => turn,
                },
            };
            let Some(turn) = turn else { return self.report };
            if connection.as_ref().is_some_and(Connection::is_closed) {
                self.report.idle_closes += 1;
                connection = None;
            }
            connection = self.request(turn, connection).await;
        }
    }

    /// Sends the request of this turn, and gives back the connection if it will take another.
    async fn request(&mut self, turn: Turn, connection: Option<Connection>) -> Option<Connection> {
        let load = Arc::clone(&self.load);
        let requests = u64::try_from(load.requests.len()).unwrap_or(1);
        let request = &load.requests[usize::try_from(turn.index % requests).unwrap_or(0)];
        let sent = Instant::now();
        if sent > self.pacer.end() + load.timeout {
            let late = "no connection was free before the end".to_owned();
            self.note(turn, sent, 0, Err((Outcome::NotSent, late)));
            return connection;
        }
        let reused = connection.as_ref().map_or(0, |connection| connection.answered);
        let deadline = sent + load.timeout;
        let connection = match connection {
            Some(connection) => Ok(connection),
            None => {
                self.report.connects += 1;
                let connect = Connection::open(load.target, load.tls.as_ref());
                timeout_at(deadline, connect).await.unwrap_or_else(|_| Err(timed_out()))
            }
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                self.note(turn, sent, 0, Err((Outcome::ConnectError, error.to_string())));
                return None;
            }
        };
        let exchange = connection.exchange(request);
        let result = timeout_at(deadline, exchange).await.unwrap_or_else(|_| {
            Err((Outcome::Timeout, format!("no whole response in {:?}", load.timeout)))
        });
        match result {
            Err(unhappy) => {
                self.note(turn, sent, reused, Err(unhappy));
                None
            }
            Ok(response) => {
                let judged = self.judge(request, &response);
                // A response that is wrong leaves a connection that nobody should trust.
                let wrong = matches!(judged, Err((Outcome::Invalid, _)));
                self.note(turn, sent, reused, judged);
                if !response.keep_alive() {
                    self.report.announced_closes += 1;
                }
                (response.keep_alive() && !wrong).then_some(connection)
            }
        }
    }

    fn judge(&self, request: &LoadRequest, response: &Response) -> Result<u16, Unhappy> {
        if !request.expected.contains(&response.status) {
            let text = response.text().chars().take(200).collect();
            return Err((Outcome::UnexpectedStatus(response.status), text));
        }
        match self.load.validator.as_ref().map(|validate| validate(request, response)) {
            None | Some(Ok(())) => Ok(response.status),
            Some(Err(reason)) => Err((Outcome::Invalid, reason)),
        }
    }

    fn note(&mut self, turn: Turn, sent: Instant, reused: u64, result: Result<u16, Unhappy>) {
        let ended = Instant::now();
        self.progress.note(result.is_err());
        let (latency, service) = (ended - turn.due, ended - sent);
        match result {
            Ok(status) => self.report.add(Outcome::Ok(status), latency, service),
            Err((outcome, detail)) => {
                let start = self.pacer.start_time();
                self.report.keep(Failure {
                    index: turn.index,
                    outcome: outcome.clone(),
                    detail,
                    due: turn.due - start,
                    sent: sent - start,
                    ended: ended - start,
                    worker: self.number,
                    reused,
                });
                self.report.add(outcome, latency, service);
            }
        }
    }
}

impl Connection {
    pub(super) async fn open(target: std::net::SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let stream = Stream::connect(target, tls).await?;
        let bytes = Vec::with_capacity(16 * 1024);
        Ok(Self { stream, decoder: Decoder::default(), bytes, answered: 0 })
    }

    /// Ends when something happens on the idle connection. Dropping it loses nothing.
    pub(super) async fn stir(&mut self) -> Stir {
        self.bytes.clear();
        match self.stream.read_buf(&mut self.bytes).await {
            Ok(1..) => Stir::Unasked,
            Ok(0) | Err(_) => Stir::Closed,
        }
    }

    /// Asks the kernel itself: under load the runtime may not have heard of a close yet.
    pub(super) fn is_closed(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(self.stream.tcp(), &mut [0u8; 1][..], flags) {
            Ok((_, length)) => length == 0,
            Err(error) => error != Errno::WOULDBLOCK,
        }
    }

    /// One request and its response; informational ones are passed over.
    pub(super) async fn exchange(&mut self, request: &LoadRequest) -> Result<Response, Unhappy> {
        let before = acknowledged(self.stream.tcp()).map_err(|error| local(&error))?;
        if let Err(error) = self.stream.write_all(&request.bytes).await {
            // The server may have answered early and closed: what it said is still to be read.
            if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
                return Err(local(&error));
            }
        }
        let mut started = false;
        loop {
            match self.decoder.response(request.to_head) {
                Ok(Some(response)) if response.is_informational() => continue,
                Ok(Some(response)) => return self.whole(response),
                Ok(None) => {}
                Err(error) => return Err((Outcome::Invalid, error.to_string())),
            }
            self.bytes.clear();
            match self.stream.read_buf(&mut self.bytes).await {
                Ok(1..) => {
                    started = true;
                    self.decoder.push(&self.bytes);
                }
                Ok(0) if !started => return Err(self.unanswered(before, false)),
                Err(error) if !started => {
                    return Err(self.unanswered(before, is_reset(&error)));
                }
                Ok(0) => {
                    return match self.decoder.response_at_end(request.to_head) {
                        Ok(Some(response)) => self.whole(response),
                        Ok(None) => Err((Outcome::Truncated, "only 1xx came".to_owned())),
                        Err(error) => Err((Outcome::Truncated, error.to_string())),
                    };
                }
                Err(error) => return Err((Outcome::Truncated, error.to_string())),
            }
        }
    }

    fn whole(&mut self, response: Response) -> Result<Response, Unhappy> {
        self.answered += 1;
        if self.decoder.is_idle() {
            Ok(response)
        } else {
            Err((Outcome::Invalid, "bytes follow the response".to_owned()))
        }
    }

    /// A reset without an orderly close before it means that the server's socket held bytes that
    /// it had not read, or was torn down: its fault. After an orderly close the kernel knows
    /// whether the request had arrived before it.
    fn unanswered(&self, before: u64, reset: bool) -> Unhappy {
        let taken = acknowledged(self.stream.tcp()).map_or(0, |now| now.saturating_sub(before));
        match (reset, taken) {
            (true, _) => (Outcome::Unanswered, "reset".to_owned()),
            (false, 1..) => (Outcome::Unanswered, format!("closed after taking {taken} bytes")),
            (false, 0) => (Outcome::CrossedClose, "the close was already on its way".to_owned()),
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionReset
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// The load's own trouble, such as a lack of descriptors, must not look like the server's.
fn local(error: &io::Error) -> Unhappy {
    (Outcome::ConnectError, format!("on this side: {error}"))
}
