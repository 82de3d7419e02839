//! How often, how fast and how many: what a group may ask of its broker.

use std::time::Duration;

/// How a group's events are delivered.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long a delivery belongs to its receiver. One that is not answered by then comes again.
    pub lease: Duration,
    /// How many times one event is delivered before it goes to the dead letters.
    pub attempts: u32,
    /// How long an event waits after its first failure; twice as long after each further one.
    pub first_backoff: Duration,
    pub longest_backoff: Duration,
    /// Deliveries of the whole group without an answer at one time, those that wait included.
    pub in_flight: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            // The waits add up to 11 minutes.
            attempts: 20,
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(60),
            in_flight: 1000,
        }
    }
}

impl Policy {
    /// How long to wait after the failure of delivery number `attempt`, which counts from one.
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        let doubled = 2u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_backoff.saturating_mul(doubled).min(self.longest_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = Policy::default();
        let check = |attempt, millis| {
            assert_eq!(policy.backoff(attempt), Duration::from_millis(millis), "{attempt}");
        };
        check(0, 100);
        check(1, 100);
        check(2, 200);
        check(10, 51_200);
        check(11, 60_000);
        check(u32::MAX, 60_000);
        let sum: Duration = (1..policy.attempts).map(|attempt| policy.backoff(attempt)).sum();
        assert_eq!(sum.as_secs() / 60, 10);
    }
}
