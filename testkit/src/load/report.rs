//! What became of every request.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Failures kept with their circumstances; all are counted.
const KEPT: usize = 1_000;

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole response with an expected status that the validator took.
    Ok(u16),
    UnexpectedStatus(u16),
    /// No connection, or no TLS session, could be made.
    ConnectError,
    /// The server's socket took bytes of the request, then closed without a byte of response.
    Unanswered,
    /// The server closed before a byte of the request reached it, so it could not know of it.
    /// A failure, too, but not one by which the server broke its word.
    CrossedClose,
    /// The response ended before its end.
    Truncated,
    /// The response breaks HTTP, or the validator refused it.
    Invalid,
    Timeout,
    /// Still waiting for a free connection when the load was over.
    NotSent,
}

impl Outcome {
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Ok(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(status) => write!(out, "ok {status}"),
            Self::UnexpectedStatus(status) => write!(out, "unexpected status {status}"),
            Self::ConnectError => out.write_str("connect error"),
            Self::Unanswered => out.write_str("closed without an answer"),
            Self::CrossedClose => out.write_str("sent after the server's close"),
            Self::Truncated => out.write_str("response cut short"),
            Self::Invalid => out.write_str("invalid response"),
            Self::Timeout => out.write_str("timeout"),
            Self::NotSent => out.write_str("not sent"),
        }
    }
}

/// A failed request with what helps to find the cause. Times count from the start of the load.
#[derive(Debug, Clone)]
pub struct Failure {
    pub index: u64,
    pub outcome: Outcome,
    pub detail: String,
    pub due: Duration,
    pub sent: Duration,
    pub ended: Duration,
    pub worker: usize,
    /// Requests answered before on the same connection.
    pub reused: u64,
}

/// The account of a load.
#[derive(Debug, Clone)]
pub struct Report {
    /// Requests that fell due.
    pub scheduled: u64,
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Microseconds of whole and expected responses, from the moment the request was due.
    pub latency: Histogram<u64>,
    /// The same from the moment it was sent: what the server needed, not what a user felt.
    pub service: Histogram<u64>,
    /// Connections opened.
    pub connects: u64,
    /// Connections given up because a response announced `connection: close`.
    pub announced_closes: u64,
    /// Connections that the server closed between two requests.
    pub idle_closes: u64,
    /// Connections given up because bytes came that answered no request.
    pub unasked: u64,
    /// The first failures of each worker.
    pub failures: Vec<Failure>,
    pub elapsed: Duration,
}

impl Report {
    pub(crate) fn new(scheduled: u64) -> Self {
        Self {
            scheduled,
            outcomes: BTreeMap::new(),
            latency: histogram(),
            service: histogram(),
            connects: 0,
            announced_closes: 0,
            idle_closes: 0,
            unasked: 0,
            failures: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }

    pub fn count(&self, outcome: &Outcome) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    pub fn ok(&self) -> u64 {
        self.sum(|outcome| !outcome.is_failure())
    }

    pub fn failed(&self) -> u64 {
        self.sum(Outcome::is_failure)
    }

    /// Requests with an outcome: always those that were scheduled.
    pub fn accounted(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Latency in microseconds at a percentile from 0 to 100.
    pub fn percentile(&self, percentile: f64) -> u64 {
        self.latency.value_at_percentile(percentile)
    }

    fn sum(&self, choose: impl Fn(&Outcome) -> bool) -> u64 {
        self.outcomes.iter().filter(|(outcome, _)| choose(outcome)).map(|(_, count)| count).sum()
    }

    pub(crate) fn add(&mut self, outcome: Outcome, latency: Duration, service: Duration) {
        if !outcome.is_failure() {
            self.latency.saturating_record(micros(latency));
            self.service.saturating_record(micros(service));
        }
        *self.outcomes.entry(outcome).or_insert(0) += 1;
    }

    pub(crate) fn keep(&mut self, failure: Failure) {
        if self.failures.len() < KEPT {
            self.failures.push(failure);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_insert(0) += count;
        }
        // Equal bounds on both sides, so that nothing can be refused.
        self.latency += other.latency;
        self.service += other.service;
        self.connects += other.connects;
        self.announced_closes += other.announced_closes;
        self.idle_closes += other.idle_closes;
        self.unasked += other.unasked;
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failure| failure.due);
        self.failures.truncate(KEPT);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} requests in {:.1} s, {} failed",
            self.scheduled,
            self.elapsed.as_secs_f64(),
            self.failed()
        )?;
        for (outcome, count) in &self.outcomes {
            writeln!(out, "  {count:>10}  {outcome}")?;
        }
        writeln!(
            out,
            "  latency from the due time, us: p50 {} p90 {} p99 {} p99.9 {} max {}",
            self.percentile(50.0),
            self.percentile(90.0),
            self.percentile(99.0),
            self.percentile(99.9),
            self.latency.max()
        )?;
        writeln!(
            out,
            "  connections opened {}, announced to close {}, closed idle {}, with stray bytes {}",
            self.connects, self.announced_closes, self.idle_closes, self.unasked
        )?;
        for failure in self.failures.iter().take(10) {
            writeln!(
                out,
                "  request {} at {:.3} s (worker {}, {} before it on the connection, {:.1} ms): {}: {}",
                failure.index,
                failure.sent.as_secs_f64(),
                failure.worker,
                failure.reused,
                failure.ended.saturating_sub(failure.sent).as_secs_f64() * 1e3,
                failure.outcome,
                failure.detail
            )?;
        }
        Ok(())
    }
}

/// Microseconds up to ten minutes with three digits.
fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "constant bounds that the library documents as valid")]
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
