//! Readiness and non-blocking sockets without a runtime, for programs whose cost must be known.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Events taken by one wait.
const EVENTS: usize = 256;

pub(crate) struct Poller {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
}

pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) writable: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { fd, events: Vec::with_capacity(EVENTS) })
    }

    pub(crate) fn add(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.fd, source, data, epoll::EventFlags::IN)?)
    }

    /// Asks for room to write as well, or no longer.
    pub(crate) fn want_write(&self, source: impl AsFd, token: u64, want: bool) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        let write = if want { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        Ok(epoll::modify(&self.fd, source, data, epoll::EventFlags::IN | write)?)
    }

    /// Waits without end; the answers are copied so that the caller may change the set.
    pub(crate) fn wait(&mut self, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.look(None, ready)
    }

    /// The same, for so long at most, to the microsecond.
    pub(crate) fn wait_for(&mut self, time: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        self.look(Some(&time), ready)
    }

    fn look(&mut self, timeout: Option<&Timespec>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.events.clear();
        ready.clear();
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.fd, buffer, timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| Ready {
            token: { event.data }.u64(),
            writable: { event.flags }.contains(epoll::EventFlags::OUT),
        }));
        Ok(())
    }
}

/// Wakes a [`Poller`] to the microsecond, where the timeout of a wait has milliseconds.
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Once, and not at what it was to ring at before.
    pub(crate) fn ring_in(&self, time: Duration) -> io::Result<()> {
        let never = Timespec::default();
        // Nothing at all would mean never.
        let time = time.max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(time).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: never, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(crate) fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    // The standard library's backlog of 128 loses connections of a burst.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The next waiting connection.
pub(crate) fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// `None` when nothing is there; 0 also when the connection is broken.
pub(crate) fn receive(stream: &TcpStream, buffer: &mut [u8]) -> Option<usize> {
    match rustix::net::recv(stream, buffer, RecvFlags::empty()) {
        Ok((length, _)) => Some(length),
        Err(Errno::WOULDBLOCK | Errno::INTR) => None,
        Err(_) => Some(0),
    }
}

/// Bytes taken by the kernel, also none; `None` when the connection is broken.
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> Option<usize> {
    match rustix::net::send(stream, bytes, SendFlags::NOSIGNAL) {
        Ok(length) => Some(length),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Some(0),
        Err(_) => None,
    }
}
