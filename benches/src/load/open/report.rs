//! What an open loop found, and whether it may be believed.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::numbers::as_float;

/// The longest time that is told apart; the deadline of a request is below.
const LONGEST: Duration = Duration::from_secs(60);

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// As many requests as may wait were waiting for a connection.
    QueueFull,
    /// The connection could not be opened, or broke under the request.
    Broken,
    /// A status other than 200.
    Status,
    /// No whole response before the deadline.
    Deadline,
}

/// Every request that fell due is in one of the counts.
#[derive(Debug)]
pub(crate) struct Report {
    answered: Histogram<u64>,
    lateness: Histogram<u64>,
    failures: [u64; 4],
    pub(super) elapsed: Duration,
}

impl Report {
    pub(super) fn new() -> Self {
        let histogram = || {
            Histogram::new_with_max(nanoseconds(LONGEST), 3)
                .expect("three digits between 1 ns and a minute are within what it can hold")
        };
        let (answered, lateness) = (histogram(), histogram());
        Self { answered, lateness, failures: [0; 4], elapsed: Duration::ZERO }
    }

    pub(super) fn note(&mut self, outcome: Result<Duration, Failure>) {
        match outcome {
            Ok(latency) => self.answered.saturating_record(nanoseconds(latency)),
            Err(failure) => self.failures[failure as usize] += 1,
        }
    }

    /// How long after it fell due the generator saw to a request.
    pub(super) fn note_lateness(&mut self, late: Duration) {
        self.lateness.saturating_record(nanoseconds(late));
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.len()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    pub(crate) fn failed_by(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// From the moment a request was due to the end of its response, of those that were answered.
    pub(crate) fn latency(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.answered.value_at_quantile(quantile))
    }

    /// Answers in a second.
    pub(crate) fn achieved(&self) -> f64 {
        as_float(self.answered()) / self.elapsed.as_secs_f64()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How late the generator itself was.
    pub(crate) fn lateness(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.lateness.value_at_quantile(quantile))
    }

    /// Whether the tail of the latency is rather the generator's than the engine's.
    pub(crate) fn fell_behind(&self) -> bool {
        self.lateness(0.99) * 2 > self.latency(0.99)
    }
}

impl FromIterator<Result<Duration, Failure>> for Report {
    /// Of some requests, without a time in which they came.
    fn from_iter<I: IntoIterator<Item = Result<Duration, Failure>>>(outcomes: I) -> Self {
        let mut report = Self::new();
        outcomes.into_iter().for_each(|outcome| report.note(outcome));
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.0}/s, p50 {:?} p90 {:?} p99 {:?} p99.9 {:?}, {} failed",
            self.achieved(),
            self.latency(0.5),
            self.latency(0.9),
            self.latency(0.99),
            self.latency(0.999),
            self.failed(),
        )?;
        if self.failed() > 0 {
            let of = |failure| self.failed_by(failure);
            write!(
                out,
                " ({} had no room to wait, {} broke, {} had another status, {} came too late)",
                of(Failure::QueueFull),
                of(Failure::Broken),
                of(Failure::Status),
                of(Failure::Deadline),
            )?;
        }
        if self.fell_behind() {
            write!(out, "; the generator fell behind: p99 {:?}", self.lateness(0.99))?;
        }
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_outcome_once_and_says_when_it_was_late_itself() {
        let mut report = Report::new();
        report.elapsed = Duration::from_secs(2);
        for milliseconds in 1..=100 {
            report.note(Ok(Duration::from_millis(milliseconds)));
            report.note_lateness(Duration::from_micros(milliseconds));
        }
        report.note(Err(Failure::Status));
        assert_eq!((report.answered(), report.failed()), (100, 1));
        assert_eq!((report.failed_by(Failure::Status), report.failed_by(Failure::Broken)), (1, 0));
        assert!((report.achieved() - 50.0).abs() < 1e-9);
        let p99 = report.latency(0.99).as_secs_f64();
        assert!((p99 / 0.099 - 1.0).abs() < 0.002, "{p99}");
        assert!(!report.fell_behind(), "{report}");
        for _ in 0..10 {
            report.note_lateness(Duration::from_millis(60));
        }
        assert!(report.fell_behind(), "{report}");
        assert!(report.to_string().contains("1 had another status"), "{report}");
    }
}
