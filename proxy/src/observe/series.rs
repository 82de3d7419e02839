//! What is counted about each route, listener, upstream and endpoint.
//!
//! A handle is resolved by name once, when a snapshot is built, and lives as long as the
//! series is used. On a worker it is reached by reference: cloning its `Arc` per request would
//! write a cache line that all workers share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counter::{Counter, Gauge, Shards, WorkerId};
use super::failure::{Failure, LineLimit};
use super::histogram::Histogram;
use super::status;
use crate::error::Reason;

/// How one request ended, for its route's metrics.
#[derive(Debug, Clone, Copy)]
pub struct RequestOutcome {
    /// What the client was answered with; 0 when it was not answered.
    pub status: u16,
    /// `None` when the request simply passed.
    pub reason: Option<Reason>,
    /// From the first byte of the request to the last byte of the response; `None` of a tunnel,
    /// which lasts as long as its peers like.
    pub duration: Option<Duration>,
    pub request_body_bytes: u64,
    pub response_body_bytes: u64,
}

/// Counts of a route.
#[derive(Debug)]
pub struct RouteMetrics {
    pub(super) name: Arc<str>,
    pub(super) shards: Shards<RouteShard>,
}

#[derive(Debug)]
pub(super) struct RouteShard {
    pub(super) codes: [Counter; status::COUNT],
    pub(super) reasons: [Counter; Reason::COUNT],
    pub(super) durations: Histogram,
    pub(super) request_body_bytes: Counter,
    pub(super) response_body_bytes: Counter,
    /// WebSocket connections open now.
    pub(super) websockets: Gauge,
}

impl RouteMetrics {
    pub(super) fn new(name: &str, workers: usize) -> Self {
        Self { name: name.into(), shards: Shards::new(workers) }
    }

    /// Counts one finished request.
    pub fn record(&self, worker: WorkerId, outcome: &RequestOutcome) {
        let shard = self.shards.of(worker);
        shard.codes[status::index(outcome.status)].increment();
        if let Some(reason) = outcome.reason {
            shard.reasons[reason.index()].increment();
        }
        if let Some(duration) = outcome.duration {
            shard.durations.record(duration);
        }
        shard.request_body_bytes.add(outcome.request_body_bytes);
        shard.response_body_bytes.add(outcome.response_body_bytes);
    }

    /// The worker's own count of open WebSocket connections.
    pub fn websockets(&self, worker: WorkerId) -> &Gauge {
        &self.shards.of(worker).websockets
    }

    /// Requests finished, over all workers.
    pub fn requests(&self) -> u64 {
        self.counted(|_| true)
    }

    /// Requests that were answered with a 5xx.
    pub fn server_errors(&self) -> u64 {
        self.counted(|code| code.starts_with('5'))
    }

    fn counted(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        let codes = (0..status::COUNT).filter(|code| wanted(status::label(*code)));
        codes.map(|code| self.shards.sum(|shard| &shard.codes[code])).sum()
    }
}

impl Default for RouteShard {
    fn default() -> Self {
        Self {
            codes: std::array::from_fn(|_| Counter::default()),
            reasons: std::array::from_fn(|_| Counter::default()),
            durations: Histogram::default(),
            request_body_bytes: Counter::default(),
            response_body_bytes: Counter::default(),
            websockets: Gauge::default(),
        }
    }
}

/// Counts of a listener.
#[derive(Debug)]
pub struct ListenerMetrics {
    pub(super) name: Arc<str>,
    pub(super) shards: Shards<ListenerShard>,
    /// Of the process log, by failure.
    lines: Box<[LineLimit]>,
    begun: Instant,
}

/// A worker's part of [`ListenerMetrics`].
#[derive(Debug)]
pub struct ListenerShard {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections open now.
    pub active: Gauge,
    /// Requests whose head arrived.
    pub requests: Counter,
    /// By failure.
    pub(super) failures: [Counter; Failure::COUNT],
}

impl Default for ListenerShard {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            active: Gauge::default(),
            requests: Counter::default(),
            failures: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl ListenerMetrics {
    pub(super) fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.into(),
            shards: Shards::new(workers),
            lines: Failure::ALL.iter().map(|_| LineLimit::default()).collect(),
            begun: Instant::now(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The worker's own counters.
    pub fn of(&self, worker: WorkerId) -> &ListenerShard {
        self.shards.of(worker)
    }

    /// Counts a failure. `Some` when the log may say it, with how many lines were suppressed
    /// since the last one of its kind.
    pub fn failed(&self, worker: WorkerId, failure: Failure) -> Option<u64> {
        self.of(worker).failures[failure as usize].increment();
        self.lines[failure as usize].admit(self.begun.elapsed(), failure.interval())
    }

    /// Connections open now, over all workers.
    pub fn active(&self) -> i64 {
        self.shards.level(|shard| &shard.active)
    }

    /// Requests whose head arrived, over all workers.
    pub fn requests(&self) -> u64 {
        self.shards.sum(|shard| &shard.requests)
    }
}

macro_rules! labelled {
    (
        $(#[$about:meta])* $group:ident:
        $($(#[$doc:meta])* $name:ident = $label:literal;)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $group { $($(#[$doc])* $name,)* }

        impl $group {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The metric's label.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

labelled! {
    /// Why a connection to an upstream could not be opened.
    ConnectFailure:
    Refused = "refused";
    /// No route to the host or the network, or no such Unix socket.
    Unreachable = "unreachable";
    Timeout = "timeout";
    /// The handshake failed or the certificate did not convince.
    Tls = "tls";
    /// No descriptor, port or memory was left on this machine.
    Exhausted = "exhausted";
    Other = "other";
}

impl ConnectFailure {
    /// Of an error of `connect(2)`.
    pub fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NotFound => Self::Unreachable,
            ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse | ErrorKind::OutOfMemory => {
                Self::Exhausted
            }
            _ => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::EAGAIN) => Self::Exhausted,
                _ => Self::Other,
            },
        }
    }
}

/// Counts of an upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    pub(super) name: Arc<str>,
    pub(super) shards: Shards<UpstreamShard>,
}

/// A worker's part of [`UpstreamMetrics`].
#[derive(Debug, Default)]
pub struct UpstreamShard {
    /// Connections opened.
    pub opened: Counter,
    pub closed: Counter,
    /// Connections that carry a request or a tunnel now; of HTTP/2, those that are open.
    pub active: Gauge,
    /// Connections kept for the next request.
    pub idle: Gauge,
    pub(super) connect_failures: [Counter; ConnectFailure::ALL.len()],
    /// Requests that wait for a connection now.
    pub pending: Gauge,
    /// Attempts after the first of a request.
    pub retries: Counter,
}

impl UpstreamShard {
    pub fn connect_failed(&self, failure: ConnectFailure) {
        self.connect_failures[failure as usize].increment();
    }
}

impl UpstreamMetrics {
    pub(super) fn new(name: &str, workers: usize) -> Self {
        Self { name: name.into(), shards: Shards::new(workers) }
    }

    /// The worker's own counters.
    pub fn of(&self, worker: WorkerId) -> &UpstreamShard {
        self.shards.of(worker)
    }

    /// Connections kept for the next request, over all workers.
    pub fn idle(&self) -> i64 {
        self.shards.level(|shard| &shard.idle)
    }
}

/// Counts of an endpoint of an upstream.
#[derive(Debug)]
pub struct EndpointMetrics {
    pub(super) upstream: Arc<str>,
    pub(super) address: Arc<str>,
    pub(super) shards: Shards<EndpointShard>,
}

/// A worker's part of [`EndpointMetrics`].
#[derive(Debug, Default)]
pub struct EndpointShard {
    /// Attempts sent.
    pub requests: Counter,
    /// Attempts that ended without a whole response.
    pub failures: Counter,
    pub in_flight: Gauge,
}

impl EndpointMetrics {
    pub(super) fn new(upstream: &str, address: &str, workers: usize) -> Self {
        Self { upstream: upstream.into(), address: address.into(), shards: Shards::new(workers) }
    }

    /// The worker's own counters.
    pub fn of(&self, worker: WorkerId) -> &EndpointShard {
        self.shards.of(worker)
    }

    /// As it stands in the access log and the label.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Attempts sent, over all workers.
    pub fn requests(&self) -> u64 {
        self.shards.sum(|shard| &shard.requests)
    }

    /// Attempts that ended without a whole response, over all workers.
    pub fn failures(&self) -> u64 {
        self.shards.sum(|shard| &shard.failures)
    }

    /// Attempts in flight, over all workers.
    pub fn in_flight(&self) -> i64 {
        self.shards.level(|shard| &shard.in_flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unused_route_costs_no_shard() {
        let route = RouteMetrics::new("quiet", 64);
        assert!(!route.shards.is_used());
        // 10,000 routes on 2 workers stay below 20 MiB even when all are used.
        assert!(size_of::<RouteShard>() <= 1024, "{}", size_of::<RouteShard>());
    }

    #[test]
    fn connect_errors_are_distinguished() {
        let check = |number: i32, expected: ConnectFailure| {
            assert_eq!(ConnectFailure::of(&std::io::Error::from_raw_os_error(number)), expected);
        };
        check(libc::ECONNREFUSED, ConnectFailure::Refused);
        check(libc::EHOSTUNREACH, ConnectFailure::Unreachable);
        check(libc::ENETUNREACH, ConnectFailure::Unreachable);
        check(libc::ENOENT, ConnectFailure::Unreachable);
        check(libc::ETIMEDOUT, ConnectFailure::Timeout);
        check(libc::EMFILE, ConnectFailure::Exhausted);
        check(libc::EADDRNOTAVAIL, ConnectFailure::Exhausted);
        check(libc::EIO, ConnectFailure::Other);
    }

    #[test]
    fn failures_index_their_counters() {
        for (at, failure) in ConnectFailure::ALL.iter().enumerate() {
            assert_eq!(*failure as usize, at);
        }
    }
}
