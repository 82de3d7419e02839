//! What an engine holds in memory: when nothing has happened yet, and for connections that wait.
//!
//! Resident memory of its processes; what the kernel holds for their sockets is not in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use portcullis_testkit::procfs;

use super::{Slice, wrk};
use crate::engines::Running;
use crate::numbers::as_float;
use crate::response::read_response;

/// Who holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held {
    /// A process that has just started; in MiB.
    Rest,
    /// Keep-alive connections that wait after one request each; in KiB for each.
    Idle { connections: usize },
    /// Clients that take the head of a response and no more; in KiB for each.
    Stalled { clients: usize },
}

const REQUEST: wrk::Requests = wrk::Requests { path: "/128", connections: 1, body: 0 };

/// An engine gives back what a burst needed only after a while.
const SETTLE: Duration = Duration::from_secs(2);

/// Bytes that a client which does not read lets the kernel take for it.
const SMALL_WINDOW: usize = 16 * 1024;

pub(crate) fn run(held: &Held, engine: &Running) -> anyhow::Result<Slice> {
    let start = Instant::now();
    let (requests, figure) = match held {
        Held::Rest => (0, rest(engine)?),
        Held::Idle { connections } => (*connections as u64, idle(engine, *connections)?),
        Held::Stalled { clients } => (*clients as u64, stalled(engine, *clients)?),
    };
    let seconds = start.elapsed().as_secs_f64();
    Ok(Slice { requests, seconds, errors: 0, figure: Some(figure), fell_behind: false })
}

impl Held {
    pub(super) fn about_seconds(self) -> u64 {
        match self {
            Self::Rest => 3,
            Self::Idle { .. } | Self::Stalled { .. } => 7,
        }
    }
}

fn rest(engine: &Running) -> anyhow::Result<f64> {
    std::thread::sleep(SETTLE);
    Ok(resident_kib(engine)? / 1024.0)
}

fn idle(engine: &Running, count: usize) -> anyhow::Result<f64> {
    for_each(engine, count, || connect(engine))
}

/// The response is longer than what the kernel's buffers of both sides can take.
fn stalled(engine: &Running, count: usize) -> anyhow::Result<f64> {
    let request = wrk::Requests { path: "/16m", ..REQUEST }.bytes();
    for_each(engine, count, || {
        let mut stream = TcpStream::connect(engine.address)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, SMALL_WINDOW)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&request)?;
        stream.read_exact(&mut [0; 512])?;
        Ok(stream)
    })
}

/// What is resident for each of so many connections that were opened one after the other.
fn for_each(
    engine: &Running,
    count: usize,
    mut open: impl FnMut() -> anyhow::Result<TcpStream>,
) -> anyhow::Result<f64> {
    // Pools and caches of a first use belong to no connection.
    let mut first = connect(engine)?;
    let request = REQUEST.bytes();
    for _ in 0..1_000 {
        first.write_all(&request)?;
        read_response(&mut first)?;
    }
    std::thread::sleep(SETTLE);
    let before = resident_kib(engine)?;
    let connections: Vec<TcpStream> = (0..count).map(|_| open()).collect::<anyhow::Result<_>>()?;
    std::thread::sleep(SETTLE);
    let held = resident_kib(engine)? - before;
    Ok(held / as_float(connections.len() as u64))
}

fn connect(engine: &Running) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(engine.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&REQUEST.bytes())?;
    read_response(&mut stream)?;
    Ok(stream)
}

/// Of all its processes. Pages that a master shares with its workers count twice, at rest.
fn resident_kib(engine: &Running) -> anyhow::Result<f64> {
    let mut sum = 0;
    for pid in engine.processes()? {
        sum += procfs::resident_bytes(pid)?;
    }
    Ok(as_float(sum) / 1024.0)
}
