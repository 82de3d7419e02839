//! What an engine holds in memory: when nothing has happened yet, and for connections that wait.
//!
//! Resident memory of its processes; what the kernel holds for their sockets is not in it.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use portcullis_testkit::procfs;

use super::{Slice, wrk};
use crate::counts::read_response;
use crate::engines::Running;
use crate::numbers::as_float;

/// Who holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held {
    /// A process that has just started; in MiB.
    Rest,
    /// Keep-alive connections that wait after one request each; in KiB for each.
    Idle { connections: usize },
}

const REQUEST: wrk::Requests = wrk::Requests { path: "/128", connections: 1, body: 0 };

/// An engine gives back what a burst needed only after a while.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn run(held: &Held, engine: &Running) -> anyhow::Result<Slice> {
    let start = Instant::now();
    let (requests, figure) = match held {
        Held::Rest => (0, rest(engine)?),
        Held::Idle { connections } => (*connections as u64, idle(engine, *connections)?),
    };
    let seconds = start.elapsed().as_secs_f64();
    Ok(Slice { requests, seconds, errors: 0, figure: Some(figure), fell_behind: false })
}

impl Held {
    pub(super) fn about_seconds(self) -> u64 {
        match self {
            Self::Rest => 3,
            Self::Idle { .. } => 7,
        }
    }
}

fn rest(engine: &Running) -> anyhow::Result<f64> {
    std::thread::sleep(SETTLE);
    Ok(resident_kib(engine)? / 1024.0)
}

fn idle(engine: &Running, count: usize) -> anyhow::Result<f64> {
    // Pools and caches of a first use belong to no connection.
    let mut first = connect(engine)?;
    let request = REQUEST.bytes();
    for _ in 0..1_000 {
        first.write_all(&request)?;
        read_response(&mut first)?;
    }
    std::thread::sleep(SETTLE);
    let before = resident_kib(engine)?;
    let connections: Vec<TcpStream> =
        (0..count).map(|_| connect(engine)).collect::<anyhow::Result<_>>()?;
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
