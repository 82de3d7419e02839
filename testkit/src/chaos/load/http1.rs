//! Requests by HTTP/1, on connections that are kept.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::time::Instant;

use super::judge_response;
use crate::chaos::ledger::Ending;
use crate::chaos::wish::{ECHO, Wish};
use crate::client::{Stream, Tls};
use crate::http::{Decoder, Response};

/// Idle connections are given up long before the gateway does it, so that no close crosses a
/// request.
const IDLE: Duration = Duration::from_secs(10);
/// Idle connections that are kept.
const KEPT: usize = 64;
/// Each of so many requests ends its connection, so that there are always new ones.
const CLOSING: u64 = 10;

pub(super) struct Pool {
    address: SocketAddr,
    tls: Option<Tls>,
    idle: Mutex<Vec<(Stream, Instant)>>,
}

impl Pool {
    pub(super) fn new(address: SocketAddr, tls: Option<Tls>) -> Self {
        Self { address, tls, idle: Mutex::default() }
    }

    pub(super) async fn send(&self, wish: &Wish, number: u64) -> Ending {
        let mut stream = match self.take() {
            Some(stream) => stream,
            None => match Stream::connect(self.address, self.tls.as_ref()).await {
                Ok(stream) => stream,
                Err(error) => return Ending::Connection(format!("not made: {error}")),
            },
        };
        match exchange(&mut stream, &request(wish, number.is_multiple_of(CLOSING))).await {
            Ok(response) => {
                if response.keep_alive() {
                    self.give_back(stream);
                }
                judge_response(wish, &response)
            }
            Err(ending) => cut_short(wish, ending),
        }
    }

    fn take(&self) -> Option<Stream> {
        let mut idle = self.idle();
        idle.retain(|(stream, since)| since.elapsed() < IDLE && is_quiet(stream));
        idle.pop().map(|(stream, _)| stream)
    }

    fn give_back(&self, stream: Stream) {
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push((stream, Instant::now()));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Stream, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neither a byte nor an end waits to be read.
fn is_quiet(stream: &Stream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let peeked = rustix::net::recv(stream.tcp(), &mut [0u8; 1][..], flags);
    matches!(peeked, Err(Errno::WOULDBLOCK))
}

fn request(wish: &Wish, last: bool) -> Vec<u8> {
    let (method, path) = (wish.method(), wish.path());
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: chaos.example\r\n");
    if last {
        head.push_str("connection: close\r\n");
    }
    if let Some(body) = &wish.upload {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(wish.upload.as_deref().unwrap_or_default());
    bytes
}

/// What had come when the connection ended.
struct Broken {
    head: Option<String>,
    why: String,
}

async fn exchange(stream: &mut Stream, request: &[u8]) -> Result<Response, Broken> {
    // An early answer may stand behind a failed write.
    let written = stream.write_all(request).await;
    let mut decoder = Decoder::default();
    let mut read = Vec::new();
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        bytes.clear();
        let result = stream.read_buf(&mut bytes).await;
        let end = matches!(result, Ok(0) | Err(_));
        decoder.push(&bytes);
        if find_end(&read).is_none() {
            read.extend_from_slice(&bytes);
        }
        let broken = |why: String| {
            let head = find_end(&read).map(|end| String::from_utf8_lossy(&read[..end]).into());
            Err(Broken { head, why })
        };
        // A reset or an end without a word may not end a body that lasts until the end.
        let orderly = matches!(result, Ok(0));
        let next = if orderly { decoder.response_at_end(false) } else { decoder.response(false) };
        match next {
            Ok(Some(response)) if response.is_informational() => continue,
            Ok(Some(response)) if decoder.is_idle() => return Ok(response),
            Ok(Some(_)) => return broken("bytes follow the response".to_owned()),
            Ok(None) if end => return broken(format!("{written:?}, {result:?}")),
            Ok(None) => {}
            Err(malformed) if end => return broken(malformed.to_string()),
            Err(malformed) => return broken(format!("malformed: {malformed}")),
        }
    }
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// The connection ended within the answer to this very request, or without one.
fn cut_short(wish: &Wish, broken: Broken) -> Ending {
    let Broken { head, why } = broken;
    if why.starts_with("malformed") || why.starts_with("bytes follow") {
        return Ending::Wrong(why);
    }
    let Some(head) = head else { return Ending::Connection(why) };
    let own = head.lines().any(|line| {
        let field = line.split_once(':');
        field
            .is_some_and(|(name, value)| name.eq_ignore_ascii_case(ECHO) && value.trim() == wish.id)
    });
    if own {
        Ending::Cut(why)
    } else {
        Ending::Wrong(format!("{why} within a foreign answer: {head}"))
    }
}
