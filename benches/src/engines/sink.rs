//! Takes the access log of an engine that sends it over TCP, counts its lines and forgets them.
//!
//! It runs on the generator's core: who keeps a log is no part of an engine's cost. It knows
//! nothing of what a line says.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::thread::{CpuSet, sched_setaffinity};

#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    taken: Arc<Taken>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Taken {
    lines: AtomicU64,
    /// The end of what came, for whoever wants to see that it is a log.
    tail: Mutex<Vec<u8>>,
    ended: AtomicBool,
}

/// Holds a line of an access log.
const TAIL: usize = 1024;

impl Sink {
    pub(crate) fn start(core: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let taken = Arc::new(Taken::default());
        let thread = std::thread::Builder::new().name("sink".to_owned()).spawn({
            let taken = Arc::clone(&taken);
            move || {
                let mut cores = CpuSet::new();
                cores.set(core);
                // On a machine without that core the comparison itself says so.
                let _ = sched_setaffinity(None, &cores);
                taken.take_all(&listener);
            }
        })?;
        Ok(Self { address, taken, thread: Some(thread) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// So far.
    pub(crate) fn lines(&self) -> u64 {
        self.taken.lines.load(Ordering::Acquire)
    }

    pub(crate) fn tail(&self) -> String {
        let tail = self.taken.tail.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail).into_owned()
    }
}

impl Taken {
    /// One connection after another: an engine that reconnects has given the former up.
    fn take_all(&self, listener: &TcpListener) {
        let mut buffer = vec![0; 256 * 1024];
        for stream in listener.incoming() {
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            // A connection that breaks leaves lines out, which the comparison notices.
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                self.take(&buffer[..length]);
            }
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        self.lines.fetch_add(lines as u64, Ordering::Release);
    }
}

impl Drop for Sink {
    /// The engine has ended before, and with it its connection.
    fn drop(&mut self) {
        self.taken.ended.store(true, Ordering::Release);
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn counts_lines_however_they_are_cut_and_over_connections() {
        let sink = Sink::start(0).unwrap();
        for piece in ["a\nb", "c\n\nd"] {
            let mut stream = TcpStream::connect(sink.address).unwrap();
            stream.write_all(piece.as_bytes()).unwrap();
            stream.write_all(b"e\n").unwrap();
        }
        while sink.lines() < 5 {
            std::thread::yield_now();
        }
        assert_eq!((sink.lines(), sink.tail().as_str()), (5, "a\nbe\nc\n\nde\n"));
    }
}
