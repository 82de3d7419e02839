//! A cheap origin: a fixed response by path, one wait, one recv and one send for each request.
//!
//! It must never be what a run measures, so it reads no more of a request than where it ends.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use crate::sockets::{Poller, accept, listen, receive, send};

const LISTENER: u64 = 0;

struct Connection {
    stream: TcpStream,
    /// Bytes of a request's head that have not made a whole one.
    head: Vec<u8>,
    /// Bytes of a request's body that are still to be read away.
    body_left: usize,
    path: Body,
    /// What the kernel did not take yet.
    unsent: Vec<(Rc<[u8]>, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Small,
    Medium,
    Large,
    /// More than the kernel's buffers on its way can hold.
    Huge,
}

struct Responses {
    small: Rc<[u8]>,
    medium: Rc<[u8]>,
    large: Rc<[u8]>,
    huge: Rc<[u8]>,
}

/// Serves until the process ends.
pub(crate) fn run(port: u16, announce: impl Fn(SocketAddr)) -> io::Result<()> {
    let (listener, address) = listen(port)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    announce(address);
    let responses = Responses {
        small: response(128),
        medium: response(16 * 1024),
        large: response(1 << 20),
        huge: response(16 << 20),
    };
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut next = LISTENER + 1;
    let mut ready = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        poller.wait(&mut ready)?;
        for event in &ready {
            if event.token == LISTENER {
                while let Some(stream) = accept(&listener) {
                    poller.add(&stream, next)?;
                    connections.insert(next, Connection::new(stream));
                    next += 1;
                }
                continue;
            }
            let Some(connection) = connections.get_mut(&event.token) else { continue };
            let blocked = !connection.unsent.is_empty();
            let open = (event.writable && connection.flush())
                || (!event.writable && connection.read(&mut buffer, &responses));
            if !open {
                connections.remove(&event.token);
            } else if blocked == connection.unsent.is_empty() {
                poller.want_write(&connection.stream, event.token, !blocked)?;
            }
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        let (head, unsent) = (Vec::new(), Vec::new());
        Self { stream, head, body_left: 0, path: Body::Small, unsent }
    }

    /// False when the connection is over.
    fn read(&mut self, buffer: &mut [u8], responses: &Responses) -> bool {
        let length = match receive(&self.stream, buffer) {
            None => return true,
            Some(0) => return false,
            Some(length) => length,
        };
        let mut bytes = &buffer[..length];
        let joined;
        if !self.head.is_empty() {
            self.head.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.head);
            bytes = &joined;
        }
        while !bytes.is_empty() {
            if self.body_left == 0 {
                let Some(head) = Head::find(bytes) else {
                    self.head.extend_from_slice(bytes);
                    return true;
                };
                self.path = head.path;
                self.body_left = head.body;
                bytes = &bytes[head.length..];
            }
            let take = self.body_left.min(bytes.len());
            bytes = &bytes[take..];
            self.body_left -= take;
            if self.body_left == 0 {
                self.unsent.push((responses.of(self.path), 0));
            }
        }
        self.flush()
    }

    /// False when the connection is over.
    fn flush(&mut self) -> bool {
        while let Some((bytes, from)) = self.unsent.first_mut() {
            match send(&self.stream, &bytes[*from..]) {
                None => return false,
                Some(0) => return true,
                Some(length) => *from += length,
            }
            if *from == bytes.len() {
                self.unsent.remove(0);
            }
        }
        true
    }
}

impl Responses {
    fn of(&self, body: Body) -> Rc<[u8]> {
        Rc::clone(match body {
            Body::Small => &self.small,
            Body::Medium => &self.medium,
            Body::Large => &self.large,
            Body::Huge => &self.huge,
        })
    }
}

fn response(length: usize) -> Rc<[u8]> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Mon, 23 Nov 2026 04:00:00 GMT\r\n\
         content-type: text/plain\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.resize(bytes.len() + length, b'x');
    bytes.into()
}

struct Head {
    length: usize,
    path: Body,
    body: usize,
}

impl Head {
    fn find(bytes: &[u8]) -> Option<Self> {
        let length = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let head = &bytes[..length];
        let target = head.iter().position(|byte| *byte == b' ').map_or(head, |at| &head[at + 1..]);
        let path = match target {
            [b'/', b'1', b'6', b'k', ..] => Body::Medium,
            [b'/', b'1', b'm', ..] => Body::Large,
            [b'/', b'1', b'6', b'm', ..] => Body::Huge,
            _ => Body::Small,
        };
        // Only a POST or PUT is worth looking for a body.
        let body = if head[0] == b'P' { content_length(head) } else { 0 };
        Some(Self { length, path, body })
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let found = head.windows(NAME.len()).position(|name| name.eq_ignore_ascii_case(NAME));
    let Some(at) = found else { return 0 };
    let value = head[at + NAME.len()..].iter().skip_while(|byte| **byte == b' ');
    value
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0usize, |sum, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::client::RawClient;

    use super::*;

    #[tokio::test]
    async fn answers_by_path_and_reads_bodies_away() {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || run(0, |address| sender.send(address).unwrap()));
        let mut client = RawClient::connect(receiver.recv().unwrap()).await.unwrap();
        client.send(b"GET /1m HTTP/1.1\r\nhost: x\r\n\r\nGET /16k HTTP/1.1\r\n").await.unwrap();
        assert_eq!(client.response().await.unwrap().body.len(), 1 << 20);
        client
            .send(b"host: x\r\n\r\nPOST /128 HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
            .await
            .unwrap();
        assert_eq!(client.response().await.unwrap().body.len(), 16 * 1024);
        client.send(b"cdeGET / HTTP/1.1\r\n\r\n").await.unwrap();
        for response in client.responses(2).await.unwrap() {
            assert_eq!((response.status, response.body.len()), (200, 128));
        }
    }
}
