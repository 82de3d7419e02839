//! Durations by fixed buckets: what a worker adds to, and the sum that a scrape reads.
//!
//! The bounds are the same for every route, so that series can be added up across routes and
//! processes. They are part of the documented metrics; a change breaks recorded dashboards.

use std::time::Duration;

use super::counter::Counter;

/// Upper bounds in microseconds, inclusive as Prometheus wants: 0.5 ms to 10 s.
pub const BOUNDS_MICROS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// One worker's durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The last one counts what is longer than every bound.
    buckets: [Counter; BOUNDS_MICROS.len() + 1],
    micros: Counter,
}

impl Histogram {
    pub fn record(&self, duration: Duration) {
        // Rounded up: 500.5 us are longer than the bound of 500 us.
        let below_a_second = u64::from(duration.subsec_nanos().div_ceil(1_000));
        let micros = duration.as_secs().saturating_mul(1_000_000).saturating_add(below_a_second);
        self.buckets[BOUNDS_MICROS.partition_point(|bound| *bound < micros)].increment();
        self.micros.add(micros);
    }
}

/// Durations of all workers together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    buckets: [u64; BOUNDS_MICROS.len() + 1],
    micros: u64,
}

impl Distribution {
    pub fn include(&mut self, shard: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&shard.buckets) {
            *sum = sum.wrapping_add(bucket.value());
        }
        self.micros = self.micros.wrapping_add(shard.micros.value());
    }

    /// Upper bound in seconds and how many durations are not above it, for each bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.buckets.iter().scan(0u64, |sum, count| {
            *sum = sum.wrapping_add(*count);
            Some(*sum)
        });
        BOUNDS_MICROS.iter().map(|bound| seconds(*bound)).zip(counts)
    }

    /// Summed from the buckets, so that a scrape in the middle of a `record` still agrees with
    /// itself.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    pub fn sum_seconds(&self) -> f64 {
        seconds(self.micros)
    }
}

#[allow(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds of the first bucket that counts the duration; `None` when none does.
    fn check(duration: Duration, expected: Option<f64>) {
        let histogram = Histogram::default();
        histogram.record(duration);
        let mut sum = Distribution::default();
        sum.include(&histogram);
        let found = sum.cumulative().find(|(_, count)| *count == 1).map(|(bound, _)| bound);
        assert_eq!(found, expected, "{duration:?}");
        assert_eq!(sum.count(), 1);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_anything_above_to_the_next() {
        let expected =
            [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        assert_eq!(expected.len(), BOUNDS_MICROS.len());
        for (at, bound) in BOUNDS_MICROS.iter().enumerate() {
            let exactly = Duration::from_micros(*bound);
            check(exactly, Some(expected[at]));
            check(exactly - Duration::from_nanos(1), Some(expected[at]));
            check(exactly + Duration::from_nanos(1), expected.get(at + 1).copied());
        }
    }

    #[test]
    fn the_extremes_are_counted_too() {
        check(Duration::ZERO, Some(0.0005));
        check(Duration::from_secs(3_600), None);
        check(Duration::MAX, None);
    }

    #[test]
    fn the_sum_is_in_seconds() {
        let mut sum = Distribution::default();
        for millis in [1, 20, 300] {
            let histogram = Histogram::default();
            histogram.record(Duration::from_millis(millis));
            sum.include(&histogram);
        }
        assert_eq!(sum.count(), 3);
        assert!((sum.sum_seconds() - 0.321).abs() < 1e-9);
        assert!(sum.cumulative().is_sorted_by_key(|(_, count)| count));
    }
}
