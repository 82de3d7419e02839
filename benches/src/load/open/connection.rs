//! One connection of an open loop: a request at a time, and what came of it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::load::response::{Response, ResponseReader};
use crate::sockets::{Poller, receive, send};

/// How long the opening of a connection may hold up the load. Loopback connects at once.
const CONNECT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Connection {
    /// `None` where nobody listened, or the peer has left.
    stream: Option<TcpStream>,
    reader: ResponseReader,
    request: Option<UnderWay>,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    due: Duration,
    overdue: Duration,
}

/// What readiness came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// Whole; the connection has no request any more.
    Response {
        due: Duration,
        status: u16,
        keeps_open: bool,
    },
    /// Closed, or broken by bytes that are no response.
    End,
}

impl Connection {
    pub(super) fn open(target: SocketAddr, poller: &Poller, token: u64) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&target, CONNECT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poller.add(&stream, token)?;
        Ok(Self { stream: Some(stream), ..Self::closed() })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stream.is_none()
    }

    /// One that is not open.
    pub(super) fn closed() -> Self {
        Self { stream: None, reader: ResponseReader::default(), request: None }
    }

    /// False when the connection is broken. A request is far below what a socket takes at once.
    pub(super) fn send(&mut self, request: &[u8], due: Duration, overdue: Duration) -> bool {
        self.request = Some(UnderWay { due, overdue });
        self.stream.as_ref().and_then(|stream| send(stream, request)) == Some(request.len())
    }

    pub(super) fn hear(&mut self, buffer: &mut [u8]) -> Heard {
        let received = self.stream.as_ref().map_or(Some(0), |stream| receive(stream, buffer));
        let length = match received {
            None => return Heard::Nothing,
            Some(0) => return Heard::End,
            Some(length) => length,
        };
        match (self.reader.push(&buffer[..length]), self.request) {
            (Ok(None), _) => Heard::Nothing,
            (Ok(Some(Response { status, keeps_open })), Some(UnderWay { due, .. })) => {
                self.request = None;
                Heard::Response { due, status, keeps_open }
            }
            (Ok(Some(_)), None) | (Err(_), _) => Heard::End,
        }
    }

    /// When its request was due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.request.map(|request| request.due)
    }

    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.request.is_some_and(|request| request.overdue <= now)
    }
}
