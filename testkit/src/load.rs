//! Open-loop load that accounts for every request.
//!
//! Requests fall due at a constant rate whether or not the server keeps up, and latency counts
//! from the moment a request was due, so that a stall is charged to every request that it held
//! back ("coordinated omission", G. Tene). Each due request ends in exactly one [`Outcome`];
//! nothing is retried. A connection that the server closed or announced to close is replaced
//! before the next request, and one that dies under a request fails that request.

mod arrival;
mod connection;
mod pacer;
mod report;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

pub use crate::client::Tls;
use crate::http::Response;
use connection::Worker;
use pacer::Pacer;
pub use report::{Failure, Outcome, Report};

/// Judges a response that is whole and has an expected status; the text says what is wrong.
pub type Validator = Arc<dyn Fn(&LoadRequest, &Response) -> Result<(), String> + Send + Sync>;

/// What to send where, how fast and for how long.
#[derive(Clone)]
pub struct Load {
    pub target: SocketAddr,
    pub tls: Option<Tls>,
    /// Requests per second.
    pub rate: f64,
    /// The most connections at one time. Each is opened when its first request is due.
    pub connections: usize,
    pub duration: Duration,
    /// From the sending of a request to the end of its response, the connecting included.
    pub timeout: Duration,
    /// Sent in turn.
    pub requests: Vec<LoadRequest>,
    pub validator: Option<Validator>,
}

/// One request as it goes over the wire.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    pub bytes: Vec<u8>,
    pub to_head: bool,
    /// Statuses that count as success.
    pub expected: RangeInclusive<u16>,
}

/// A load that runs.
#[derive(Debug)]
pub struct Running {
    progress: Arc<Progress>,
    task: JoinHandle<Report>,
}

/// What may be read while the load runs.
#[derive(Debug, Default)]
pub struct Progress {
    ended: AtomicU64,
    failed: AtomicU64,
}

impl LoadRequest {
    pub fn get(target: &str) -> Self {
        Self::new(&format!("GET {target} HTTP/1.1\r\nhost: load.example\r\n\r\n"), b"")
    }

    pub fn post(target: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: load.example\r\ncontent-length: {length}\r\n\r\n"
        );
        Self::new(&head, body)
    }

    /// A head with its empty line, and the body it announces.
    pub fn new(head: &str, body: &[u8]) -> Self {
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(body);
        Self { bytes, to_head: head.starts_with("HEAD "), expected: 200..=299 }
    }

    pub fn expecting(mut self, expected: RangeInclusive<u16>) -> Self {
        self.expected = expected;
        self
    }
}

impl Load {
    /// A GET load with defaults for the rest: 8 connections, 5 s timeout.
    pub fn get(target: SocketAddr, path: &str, rate: f64, duration: Duration) -> Self {
        Self {
            target,
            tls: None,
            rate,
            connections: 8,
            duration,
            timeout: Duration::from_secs(5),
            requests: vec![LoadRequest::get(path)],
            validator: None,
        }
    }

    /// The requests that will fall due.
    pub fn scheduled(&self) -> u64 {
        // Rounded up: the first one is due at once.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = (self.rate * self.duration.as_secs_f64()).ceil() as u64;
        count
    }

    pub async fn run(self) -> Report {
        self.start().wait().await
    }

    /// Starts on the current runtime. Times of the report count from this call, however late the
    /// load is given a processor.
    pub fn start(self) -> Running {
        let progress = Arc::new(Progress::default());
        let task = tokio::spawn(drive(self, Instant::now(), Arc::clone(&progress)));
        Running { progress, task }
    }
}

impl Running {
    /// Requests that have ended, and those of them that failed.
    pub fn so_far(&self) -> (u64, u64) {
        (self.progress.ended.load(Ordering::Relaxed), self.progress.failed.load(Ordering::Relaxed))
    }

    /// Waits until so many requests have ended, or the load is over.
    pub async fn ended(&self, count: u64) {
        while self.so_far().0 < count && !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// The report, once every request has ended.
    pub async fn wait(self) -> Report {
        match self.task.await {
            Ok(report) => report,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Progress {
    fn note(&self, failed: bool) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn drive(load: Load, start: Instant, progress: Arc<Progress>) -> Report {
    assert!(!load.requests.is_empty() && load.connections > 0 && load.rate > 0.0, "nothing to do");
    let scheduled = load.scheduled();
    let load = Arc::new(load);
    let pacer = Pacer::start(start, load.rate, scheduled, load.connections);
    let mut workers = JoinSet::new();
    for number in 0..load.connections {
        let worker =
            Worker::new(number, Arc::clone(&load), Arc::clone(&pacer), Arc::clone(&progress));
        workers.spawn(worker.run());
    }
    let mut report = Report::new(scheduled);
    for part in workers.join_all().await {
        report.merge(part);
    }
    report.elapsed = start.elapsed();
    // A bug here would make every verdict built on it worthless.
    assert_eq!(report.accounted(), scheduled, "requests were lost by the load itself");
    report
}

#[cfg(test)]
mod tests;
