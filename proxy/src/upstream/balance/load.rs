//! How loaded an endpoint is, in the two ways that "the better of two" compares by.
//!
//! Two draws instead of a scan of all: Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing" (2001), shows that the second draw brings nearly all of the gain; a pick stays cheap
//! for any number of endpoints; and workers, each of which sees only its own requests, do not all
//! run to the same best endpoint. Envoy's least-request does the same.
//!
//! Latency is Finagle's peak EWMA: a rise counts at once, a fall counts gradually. There a
//! fast error looks good; here, as in Linkerd's load biaser, a failure counts as a slow answer
//! instead. Linkerd takes 5 s flat, we take a multiple of what is usual, so that one stray error
//! does not shut an endpoint out for a minute while repeated ones soon do.

use std::rc::Rc;

use tokio::time::Instant;

use super::draw::Weights;
use super::member::Member;

/// Seconds after which an estimate has faded to 1/e: Finagle's default.
const DECAY: f64 = 10.0;
/// A failure counts as this many times what is usual: back to normal after 14 s.
const PENALTY_FACTOR: f64 = 4.0;
/// Seconds that a failure counts as while nothing is known to compare with.
const PENALTY_UNKNOWN: f64 = 1.0;
/// Seconds that failures in a row cannot raise an estimate above.
const PENALTY_MOST: f64 = 60.0;
/// Seconds assumed of an endpoint that has requests under way and no answer yet.
const UNANSWERED: f64 = 1.0;
/// One sample's part in what is usual for a cluster.
const TYPICAL_PART: f64 = 1.0 / 16.0;

/// A latency estimate in seconds, and when it was right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    seconds: f64,
    at: Instant,
}

impl Latency {
    pub(super) fn next(known: Option<Self>, sample: f64, now: Instant) -> Self {
        // Against what has faded, not what was: a rarely picked endpoint would stay slow for ever.
        let seconds = known.map_or(sample, |known| {
            let fade = fade(known.at, now);
            let faded = known.seconds * fade;
            if sample < faded { faded + sample * (1.0 - fade) } else { sample }
        });
        Self { seconds, at: now }
    }

    /// Fades without samples, so that an endpoint that was slow once is tried again.
    pub(super) fn now(self, now: Instant) -> f64 {
        self.seconds * fade(self.at, now)
    }
}

/// What a failure counts as, in seconds.
pub(super) fn penalty(
    known: Option<Latency>,
    typical: Option<f64>,
    took: Option<f64>,
    now: Instant,
) -> f64 {
    let known = known.map_or(0.0, |latency| latency.now(now));
    let usual = known.max(typical.unwrap_or(0.0));
    let penalty = if usual > 0.0 { usual * PENALTY_FACTOR } else { PENALTY_UNKNOWN };
    penalty.min(PENALTY_MOST).max(took.unwrap_or(0.0))
}

pub(super) fn typical(known: Option<f64>, sample: f64) -> f64 {
    known.map_or(sample, |known| known + (sample - known) * TYPICAL_PART)
}

type Choice<'a> = (usize, &'a Rc<Member>);

/// The one with fewer requests for its weight; the first on a tie, so that idle endpoints are
/// taken by weight, as they were drawn.
pub(super) fn fewer_requests(
    weights: &Weights,
    one: Choice<'_>,
    other: Choice<'_>,
    now: Instant,
) -> usize {
    let of = |choice: Choice<'_>| {
        f64::from(choice.1.state.in_flight.get()) / weights.effective(choice.1, now)
    };
    if of(other) < of(one) { other.0 } else { one.0 }
}

/// The one expected to answer sooner with one request more; the first on a tie. Weight sets how
/// often an endpoint is drawn and how much it can take, not how fast it is.
pub(super) fn cheaper(
    weights: &Weights,
    one: Choice<'_>,
    other: Choice<'_>,
    now: Instant,
) -> usize {
    let of = |choice: Choice<'_>| {
        let state = &choice.1.state;
        let crowd = f64::from(state.in_flight.get());
        match state.latency.get() {
            Some(latency) => {
                let capacity = weights.effective(choice.1, now) / weights.mean();
                latency.now(now) * (1.0 + crowd / capacity)
            }
            // Free until it has been tried once.
            None => UNANSWERED * crowd,
        }
    };
    if of(other) < of(one) { other.0 } else { one.0 }
}

fn fade(since: Instant, now: Instant) -> f64 {
    (-now.saturating_duration_since(since).as_secs_f64() / DECAY).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rise_counts_at_once_and_a_fall_with_time() {
        let start = Instant::now();
        let latency = Latency::next(None, 0.010, start);
        let latency = Latency::next(Some(latency), 0.500, start);
        assert_eq!(latency.now(start), 0.5);
        let soon = start + Duration::from_millis(100);
        let latency = Latency::next(Some(latency), 0.010, soon);
        assert!(latency.now(soon) > 0.49, "one fast answer does not clear it");
        let later = soon + Duration::from_secs(50);
        let latency = Latency::next(Some(latency), 0.010, later);
        assert!((latency.now(later) - 0.010).abs() < 0.005, "{}", latency.now(later));
    }

    #[test]
    fn failures_add_up_to_a_bound_and_fade() {
        let start = Instant::now();
        let mut latency = Some(Latency::next(None, 0.010, start));
        let mut last = 0.010;
        for _ in 0..20 {
            let sample = penalty(latency, Some(0.010), Some(0.0001), start);
            assert!(sample > last || sample == PENALTY_MOST);
            last = sample;
            latency = Some(Latency::next(latency, sample, start));
        }
        assert_eq!(last, PENALTY_MOST);
        let later = start + Duration::from_secs(100);
        assert!(latency.unwrap().now(later) < 0.010);
    }

    #[test]
    fn a_failure_is_measured_by_the_cluster_where_the_endpoint_is_unknown() {
        let now = Instant::now();
        assert_eq!(penalty(None, Some(0.2), None, now), 0.8);
        assert_eq!(penalty(None, None, None, now), PENALTY_UNKNOWN);
        assert_eq!(penalty(None, Some(0.2), Some(5.0), now), 5.0, "a timeout took what it took");
    }
}
