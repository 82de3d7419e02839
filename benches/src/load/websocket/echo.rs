//! A cheap origin of WebSocket: sends every binary or text message back.
//!
//! It knows of frames only where they end and how they are masked, and ends a connection that
//! sends anything else.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::{LONG, MASKED};
use crate::sockets::{Poller, accept, listen, receive, send};

const LISTENER: u64 = 0;
/// What RFC 6455, section 1.3, has both sides append to the key.
const APPENDED: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The most that a connection may have sent without completing a message or a head.
const MOST: usize = 64 * 1024;

struct Connection {
    stream: TcpStream,
    switched: bool,
    /// Received and not answered.
    received: Vec<u8>,
}

/// Serves until the process ends.
pub(crate) fn run(port: u16, announce: impl Fn(SocketAddr)) -> io::Result<()> {
    let (listener, address) = listen(port)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    announce(address);
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut next = LISTENER + 1;
    let mut ready = Vec::new();
    let mut buffer = vec![0; MOST];
    let mut answer = Vec::new();
    loop {
        poller.wait(&mut ready)?;
        for event in &ready {
            if event.token == LISTENER {
                while let Some(stream) = accept(&listener) {
                    poller.add(&stream, next)?;
                    let received = Vec::new();
                    connections.insert(next, Connection { stream, switched: false, received });
                    next += 1;
                }
                continue;
            }
            let Some(connection) = connections.get_mut(&event.token) else { continue };
            if !connection.serve(&mut buffer, &mut answer) {
                connections.remove(&event.token);
            }
        }
    }
}

impl Connection {
    /// False when the connection is over.
    fn serve(&mut self, buffer: &mut [u8], answer: &mut Vec<u8>) -> bool {
        let length = match receive(&self.stream, buffer) {
            None => return true,
            Some(0) => return false,
            Some(length) => length,
        };
        self.received.extend_from_slice(&buffer[..length]);
        answer.clear();
        let used = if self.switched {
            echo(&self.received, answer)
        } else {
            switch(&self.received, answer).inspect(|used| self.switched = *used > 0)
        };
        let Some(used) = used else { return false };
        self.received.drain(..used);
        // What is answered was not more than a socket takes: the peer waits for it.
        self.received.len() < MOST
            && (answer.is_empty() || send(&self.stream, answer) == Some(answer.len()))
    }
}

/// Answers all messages that are whole, and says how many bytes they were; `None` of another
/// frame than a masked, whole and short message.
fn echo(bytes: &[u8], answer: &mut Vec<u8>) -> Option<usize> {
    let mut used = 0;
    while let [first, second, rest @ ..] = &bytes[used..] {
        let (0x81 | 0x82, true) = (*first, second & MASKED != 0) else { return None };
        let (length, head) = match (second & !MASKED, rest) {
            (LONG, [high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 2),
            (LONG, _) => break,
            (127.., _) => return None,
            (length, _) => (usize::from(length), 0),
        };
        let Some((mask, rest)) = rest[head..].split_first_chunk::<4>() else { break };
        let Some(payload) = rest.get(..length) else { break };
        answer.extend_from_slice(&[*first, second & !MASKED]);
        answer.extend_from_slice(&bytes[used + 2..used + 2 + head]);
        answer.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        used += 2 + head + mask.len() + length;
    }
    Some(used)
}

/// Answers the handshake; 0 while its head is not whole, `None` of a head that is none.
fn switch(bytes: &[u8], answer: &mut Vec<u8>) -> Option<usize> {
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return Some(0) };
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let key = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    })?;
    let accept = Sha1::new().chain_update(key).chain_update(APPENDED).finalize();
    let accept = STANDARD.encode(accept);
    answer.extend_from_slice(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        )
        .as_bytes(),
    );
    Some(end + 4)
}
