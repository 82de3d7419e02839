//! Slow start: a new endpoint's share grows evenly from a tenth to the whole.
//!
//! Cold caches and just-in-time compilers make a new process slower than its siblings; see
//! Envoy's "slow start mode", whose aggression of 1 and minimum of 10 % this is.

use std::time::Duration;

use tokio::time::Instant;

const FLOOR: f64 = 0.1;

/// The part of its weight that an endpoint is given now.
pub(super) fn factor(added_at: Option<Instant>, window: Option<Duration>, now: Instant) -> f64 {
    let (Some(added_at), Some(window)) = (added_at, window) else { return 1.0 };
    let age = now.saturating_duration_since(added_at);
    if age >= window {
        return 1.0;
    }
    FLOOR + (1.0 - FLOOR) * (age.as_secs_f64() / window.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_evenly_from_a_tenth_to_the_whole() {
        let start = Instant::now();
        let window = Some(Duration::from_secs(10));
        for (seconds, expected) in [(0, 0.1), (1, 0.19), (5, 0.55), (9, 0.91), (10, 1.0), (99, 1.0)]
        {
            let now = start + Duration::from_secs(seconds);
            let factor = factor(Some(start), window, now);
            assert!((factor - expected).abs() < 1e-9, "{factor} after {seconds} s");
        }
    }

    #[test]
    fn without_a_window_or_a_birthday_everything_is_whole() {
        let now = Instant::now();
        assert_eq!(factor(Some(now), None, now), 1.0);
        assert_eq!(factor(None, Some(Duration::from_secs(10)), now), 1.0);
        assert_eq!(factor(Some(now), Some(Duration::ZERO), now), 1.0);
    }
}
