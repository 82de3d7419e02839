//! Pipes of the kernel, through which bytes pass from socket to socket without being copied here.
//!
//! A tunnel holds a pipe only while bytes are in it, so an idle tunnel holds none. A worker
//! has a bounded number; who gets none copies instead. Knows no protocol.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::free_list::FreeList;

/// Pipes that one worker opens at most: 256 descriptors, and 8 MiB in the kernel when all are full.
const MOST: usize = 128;
/// The most bytes of one system call: the size of a pipe.
const STEP: usize = 64 * 1024;

/// One worker's pipes.
#[derive(Clone)]
pub struct PipePool {
    pipes: Rc<Pipes>,
}

struct Pipes {
    free: FreeList<PipeEnds>,
    /// Including those in use.
    open: Cell<usize>,
}

struct PipeEnds {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Default for PipePool {
    fn default() -> Self {
        Self { pipes: Rc::new(Pipes { free: FreeList::new(MOST), open: Cell::new(0) }) }
    }
}

impl PipePool {
    /// `None` when the worker has enough of them, or the process no descriptors.
    pub fn take(&self) -> Option<Pipe> {
        let open = &self.pipes.open;
        let ends = match self.pipes.free.take() {
            Some(ends) => ends,
            None if open.get() >= MOST => return None,
            None => {
                let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
                let (reader, writer) = pipe_with(flags).ok()?;
                open.set(open.get() + 1);
                PipeEnds { reader, writer }
            }
        };
        Some(Pipe { ends: Some(ends), filled: 0, pool: self.clone() })
    }

    /// Closes half of the pipes that were not needed since the last call.
    pub fn trim(&self) {
        let closed = self.pipes.free.trim();
        self.pipes.open.set(self.pipes.open.get() - closed);
    }

    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.pipes.open.get()
    }
}

/// A pipe in use. Dropped empty it returns to the pool; with bytes in it, it is closed.
pub struct Pipe {
    ends: Option<PipeEnds>,
    filled: usize,
    pool: PipePool,
}

impl Pipe {
    /// Moves what the socket has received, and not more than `most` of it, into the pipe, which
    /// must be empty; 0 bytes mean that the peer has closed its side. `WouldBlock` when there is
    /// nothing at the moment.
    pub fn fill(&mut self, from: &TcpStream, most: usize) -> io::Result<usize> {
        debug_assert_eq!(self.filled, 0);
        let Some(ends) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let count = from.try_io(Interest::READABLE, || step(from, &ends.writer, STEP.min(most)))?;
        self.filled = count;
        Ok(count)
    }

    /// Moves some of the pipe's bytes into the socket.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || step(&ends.reader, to, self.filled)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.filled -= count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

fn step(
    from: impl std::os::fd::AsFd,
    to: impl std::os::fd::AsFd,
    most: usize,
) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let pipes = &self.pool.pipes;
        match self.ends.take() {
            Some(ends) if self.filled == 0 => pipes.free.put(ends),
            _ => pipes.open.set(pipes.open.get() - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_a_bounded_number() {
        let pool = PipePool::default();
        let all: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((all.len(), pool.open()), (MOST, MOST));
        drop(all);
        assert!(pool.take().is_some());
        assert_eq!(pool.open(), MOST);
    }

    #[test]
    fn what_is_not_needed_is_closed() {
        let pool = PipePool::default();
        drop([pool.take(), pool.take(), pool.take()]);
        pool.trim();
        assert_eq!(pool.open(), 3, "all were needed since the start");
        for _ in 0..3 {
            pool.trim();
        }
        assert_eq!(pool.open(), 0);
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_not_reused() {
        let pool = PipePool::default();
        let mut pipe = pool.take().unwrap();
        pipe.filled = 1;
        drop(pipe);
        assert_eq!(pool.open(), 0);
    }
}
