//! When requests fall due.

use std::time::Duration;

use crate::numbers::as_float;

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrivals {
    /// One after the other at the same distance.
    Constant,
    /// At random, as those of many clients that know nothing of each other; a seed always gives
    /// the same arrivals.
    Poisson { seed: u64 },
}

/// The times at which requests fall due, from the start of the load; it has no end.
#[derive(Debug)]
pub(super) struct Schedule {
    mean: f64,
    random: Option<fastrand::Rng>,
    arrivals: u64,
    last: f64,
}

impl Schedule {
    /// So many arrivals a second.
    pub(super) fn new(arrivals: Arrivals, rate: f64) -> Self {
        let random = match arrivals {
            Arrivals::Constant => None,
            Arrivals::Poisson { seed } => Some(fastrand::Rng::with_seed(seed)),
        };
        Self { mean: 1.0 / rate, random, arrivals: 0, last: 0.0 }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.arrivals += 1;
        self.last = match &mut self.random {
            // Multiplied rather than added up, so that no error does.
            None => as_float(self.arrivals) * self.mean,
            // The distance of a Poisson process is exponential: inverse transform sampling.
            Some(random) => self.last - self.mean * (1.0 - random.f64()).ln(),
        };
        Some(Duration::from_secs_f64(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_keep_their_distance() {
        let due: Vec<Duration> = Schedule::new(Arrivals::Constant, 1_000.0).take(3).collect();
        assert_eq!(due, [1, 2, 3].map(Duration::from_millis));
    }

    #[test]
    fn random_arrivals_have_the_rate_the_spread_and_repeat() {
        let take = |seed| -> Vec<f64> {
            let schedule = Schedule::new(Arrivals::Poisson { seed }, 100.0);
            schedule.take(20_000).map(|due| due.as_secs_f64()).collect()
        };
        let due = take(1);
        assert!((due[19_999] / 200.0 - 1.0).abs() < 0.03, "{}", due[19_999]);
        let distances: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Of an exponential distribution, this share is longer than the mean: 1 / e.
        let longer = distances.iter().filter(|distance| **distance > 0.01).count();
        assert!((7_100..7_620).contains(&longer), "{longer}");
        assert_eq!(due, take(1));
        assert_ne!(due, take(2));
    }
}
