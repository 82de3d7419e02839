//! WebSocket ping-pong: connections that each send one message and wait for it to come back.
//!
//! All messages are the same bytes, so that neither side computes anything for them. The origin
//! that sends them back is in [`echo`].

pub(crate) mod echo;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::Slice;
use super::own::{Completed, costed, on_generator_core};
use super::response::ResponseReader;
use crate::engines::Running;
use crate::sockets::{Poller, Ready, Timer, receive, send};

/// Bytes of a message.
const PAYLOAD: usize = 128;
/// How long a message may be under way, and how long an engine may take to switch.
const DEADLINE: Duration = Duration::from_secs(5);
/// How the client masks. A client should draw one for each frame; to an engine all are alike.
const MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
/// A final frame of binary data.
const BINARY: u8 = 0x82;
/// Marks a masked payload.
const MASKED: u8 = 0x80;
/// Says that the length is in the two bytes that follow.
const LONG: u8 = 126;
const TIMER: u64 = u64::MAX;

/// Who exchanges messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clients {
    pub(crate) connections: usize,
}

/// The figure is the engine's processor time for each message, there and back.
pub(super) fn run(
    clients: &Clients,
    engine: &Running,
    duration: Duration,
) -> anyhow::Result<Slice> {
    on_generator_core(engine.setting.cores, || {
        let mut ping_pong = PingPong::open(engine.address, clients.connections)?;
        costed(engine, || ping_pong.run(duration))
    })
}

/// Connections that have switched.
#[derive(Debug)]
struct PingPong {
    streams: Vec<TcpStream>,
}

impl PingPong {
    /// So many connections, each a WebSocket at once.
    fn open(target: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let streams = (0..connections).map(|_| upgraded(target)).collect::<anyhow::Result<_>>()?;
        Ok(Self { streams })
    }

    /// Messages there and back for so long, on the calling thread. What is under way at the end
    /// is still waited for, so that the next call finds every connection at rest.
    fn run(&mut self, duration: Duration) -> anyhow::Result<Completed> {
        let (message, expected) = (frame(true), frame(false));
        let mut poller = Poller::new()?;
        let timer = Timer::new()?;
        poller.add(&timer, TIMER)?;
        timer.ring_in(duration + DEADLINE)?;
        let start = Instant::now();
        for (token, stream) in (0..).zip(&self.streams) {
            poller.add(stream, token)?;
            send_whole(stream, &message)?;
        }
        let mut received = vec![0; self.streams.len()];
        let mut under_way = self.streams.len();
        let (mut done, mut ready) = (0, Vec::<Ready>::new());
        let mut buffer = vec![0; 64 * 1024];
        while under_way > 0 {
            poller.wait(&mut ready)?;
            let goes_on = start.elapsed() < duration;
            for event in &ready {
                let Some(index) =
                    usize::try_from(event.token).ok().filter(|_| event.token != TIMER)
                else {
                    bail!("{under_way} messages did not come back in {DEADLINE:?}");
                };
                let stream = &self.streams[index];
                let Some(length) = receive(stream, &mut buffer) else { continue };
                let so_far = &mut received[index];
                let rest: &[u8] = &expected[*so_far..];
                if length == 0 || !rest.starts_with(&buffer[..length]) {
                    bail!("a message did not come back as it was sent");
                }
                *so_far += length;
                if *so_far == expected.len() {
                    *so_far = 0;
                    done += 1;
                    if goes_on {
                        send_whole(stream, &message)?;
                    } else {
                        under_way -= 1;
                    }
                }
            }
        }
        Ok(Completed { done, failed: 0 })
    }
}

/// The message as a client sends it, or as it comes back.
fn frame(masked: bool) -> Vec<u8> {
    let payload = [b'm'; PAYLOAD];
    let length = u16::try_from(PAYLOAD).expect("a message is shorter than 64 KiB");
    let flag = if masked { MASKED } else { 0 };
    let mut frame = vec![BINARY, flag | LONG];
    frame.extend_from_slice(&length.to_be_bytes());
    if masked {
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend_from_slice(&payload);
    }
    frame
}

fn send_whole(stream: &TcpStream, bytes: &[u8]) -> anyhow::Result<()> {
    // A message is far below what a socket takes that has nothing else under way.
    if send(stream, bytes) != Some(bytes.len()) {
        bail!("a connection broke");
    }
    Ok(())
}

fn upgraded(target: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(
        b"GET /echo HTTP/1.1\r\nhost: bench.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: cG9ydGN1bGxpcyBiZW5jaA==\r\n\r\n",
    )?;
    let mut reader = ResponseReader::default();
    let mut buffer = [0; 4096];
    let response = loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            bail!("the engine left before it answered");
        }
        if let Some(response) = reader.push(&buffer[..length]).context("the handshake")? {
            break response;
        }
    };
    if response.status != 101 {
        bail!("the engine answered {} to the handshake", response.status);
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
