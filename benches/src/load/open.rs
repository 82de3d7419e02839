//! Open loop over HTTP/1: requests fall due at a rate of their own, whether or not answers come.
//!
//! Latency counts from the moment at which a request was due, so that a stall is charged to every
//! request that it held back ("coordinated omission", G. Tene). One thread, one wait for many
//! events, no runtime: at some ten thousand requests a second it must leave the origin, which has
//! the same core, enough of it.

mod connection;
mod report;
mod schedule;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::sockets::{Poller, Ready};
use connection::{Connection, Heard};
pub(crate) use report::{Failure, Report};
pub(crate) use schedule::Arrivals;
use schedule::Schedule;

/// What to send where, how often and for how long.
#[derive(Debug, Clone)]
pub(crate) struct OpenLoop {
    pub(crate) target: SocketAddr,
    /// One whole request, sent again and again.
    pub(crate) request: Vec<u8>,
    /// Requests a second.
    pub(crate) rate: f64,
    pub(crate) arrivals: Arrivals,
    /// Opened before the first request is due. Each carries one request at a time.
    pub(crate) connections: usize,
    /// Requests that may wait for a connection; one more fails.
    pub(crate) queue: usize,
    /// How long requests fall due.
    pub(crate) duration: Duration,
    /// From the moment a request is sent to the end of its response.
    pub(crate) deadline: Duration,
}

/// One request that has ended; times count from the start of the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) due: Duration,
    pub(crate) outcome: Result<Duration, Failure>,
}

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(100);

impl OpenLoop {
    /// A load with the defaults of the comparison for the rest.
    pub(crate) fn new(target: SocketAddr, request: Vec<u8>, rate: f64, duration: Duration) -> Self {
        Self {
            target,
            request,
            rate,
            arrivals: Arrivals::Poisson { seed: 1 },
            connections: 64,
            queue: 10_000,
            duration,
            deadline: Duration::from_secs(5),
        }
    }

    /// Runs on the calling thread until every request has ended.
    pub(crate) fn run(&self) -> io::Result<Report> {
        self.run_until(Instant::now, &AtomicBool::new(false), |_| {})
    }

    /// The same, told of every request; nothing falls due any more once `stop` is set. `start`
    /// is called when the connections are open, and gives the moment from which times count.
    pub(crate) fn run_until(
        &self,
        start: impl FnOnce() -> Instant,
        stop: &AtomicBool,
        observe: impl FnMut(Ended),
    ) -> io::Result<Report> {
        let poller = Poller::new()?;
        let connections: Vec<Connection> = (0..self.connections as u64)
            .map(|token| Connection::open(self.target, &poller, token))
            .collect::<io::Result<_>>()?;
        let start = start();
        let mut driver = Driver {
            load: self,
            poller,
            free: (0..connections.len()).collect(),
            connections,
            waiting: VecDeque::new(),
            start,
            report: Report::new(),
            observe,
        };
        driver.drive(stop)?;
        driver.report.elapsed = start.elapsed();
        Ok(driver.report)
    }
}

/// A load that runs.
struct Driver<'a, O> {
    load: &'a OpenLoop,
    poller: Poller,
    connections: Vec<Connection>,
    /// Connections without a request. The one used last comes first, as clients' pools have it.
    free: Vec<usize>,
    /// When the requests fell due that wait for a connection.
    waiting: VecDeque<Duration>,
    start: Instant,
    report: Report,
    observe: O,
}

impl<O: FnMut(Ended)> Driver<'_, O> {
    fn drive(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut schedule = Schedule::new(self.load.arrivals, self.load.rate)
            .take_while(|due| *due < self.load.duration && !stop.load(Ordering::Acquire));
        let mut next = schedule.next();
        let mut sweep = SWEEP;
        let mut ready: Vec<Ready> = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let mut now = self.start.elapsed();
            while let Some(due) = next.filter(|due| *due <= now) {
                self.report.note_lateness(now - due);
                self.arrive(due);
                next = schedule.next();
                now = self.start.elapsed();
            }
            if now >= sweep {
                self.end_overdue(now);
                sweep = now + SWEEP;
            }
            if next.is_none() && self.free.len() == self.connections.len() {
                return Ok(());
            }
            let until = next.map_or(sweep, |due| due.min(sweep));
            self.poller.wait_for(until.saturating_sub(now), &mut ready)?;
            for event in &ready {
                self.hear(event.token, &mut buffer);
            }
        }
    }

    fn arrive(&mut self, due: Duration) {
        if let Some(index) = self.free.pop() {
            if !self.send(index, due) {
                self.fail(index, Failure::Broken);
            }
        } else if self.waiting.len() < self.load.queue {
            self.waiting.push_back(due);
        } else {
            self.end(due, Err(Failure::QueueFull));
        }
    }

    fn send(&mut self, index: usize, due: Duration) -> bool {
        if self.connections[index].is_closed() {
            self.open_anew(index);
        }
        let overdue = self.start.elapsed() + self.load.deadline;
        self.connections[index].send(&self.load.request, due, overdue)
    }

    fn hear(&mut self, token: u64, buffer: &mut [u8]) {
        let Ok(index) = usize::try_from(token) else { return };
        match self.connections[index].hear(buffer) {
            Heard::Nothing => {}
            Heard::Response { due, status, keeps_open } => {
                let latency = self.start.elapsed().saturating_sub(due);
                self.end(due, if status == 200 { Ok(latency) } else { Err(Failure::Status) });
                if !keeps_open {
                    self.open_anew(index);
                }
                self.go_on(index);
            }
            // Nobody waited for anything on it, and the next request opens it anew.
            Heard::End if self.connections[index].due().is_none() => {
                self.connections[index] = Connection::closed();
            }
            Heard::End => self.fail(index, Failure::Broken),
        }
    }

    fn end_overdue(&mut self, now: Duration) {
        for index in 0..self.connections.len() {
            if self.connections[index].is_overdue(now) {
                self.fail(index, Failure::Deadline);
            }
        }
    }

    /// Ends the request of a connection, and with it the connection.
    fn fail(&mut self, index: usize, failure: Failure) {
        if let Some(due) = self.connections[index].due() {
            self.end(due, Err(failure));
        }
        self.open_anew(index);
        self.go_on(index);
    }

    fn open_anew(&mut self, index: usize) {
        let anew = Connection::open(self.load.target, &self.poller, index as u64);
        // Where nobody listens, the request that needs it fails by it.
        self.connections[index] = anew.unwrap_or_else(|_| Connection::closed());
    }

    /// Gives a connection the next request that waits, or lets it wait for one itself.
    fn go_on(&mut self, index: usize) {
        while let Some(due) = self.waiting.pop_front() {
            if self.send(index, due) {
                return;
            }
            self.end(due, Err(Failure::Broken));
            self.open_anew(index);
        }
        self.free.push(index);
    }

    fn end(&mut self, due: Duration, outcome: Result<Duration, Failure>) {
        self.report.note(outcome);
        (self.observe)(Ended { due, outcome });
    }
}

#[cfg(test)]
mod tests;
