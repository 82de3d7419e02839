//! When a good client sends a request again: a pure decision about one try.
//!
//! Every write of the simulator carries an idempotency key, or is idempotent without one, so that
//! sending it again is always safe; whether it is proper is decided here.

use std::time::Duration;

/// A server is asked again for so long.
const GIVES_UP_AFTER: Duration = Duration::from_secs(60);
/// A server that says "in an hour" is not waited for so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// The connection ended before the answer did. One that was used before may have been closed
    /// for idleness while the request was on its way.
    Lost {
        reused: bool,
    },
    NotConnected,
    TimedOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing better will come.
    Take,
    /// Send it again after this.
    Again(Duration),
}

/// What is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Services are killed meanwhile: what would be a fault of the gateway or of a service is not.
    pub(crate) outages: bool,
}

impl Patience {
    /// `attempt` counts from 1; `elapsed` is since the first one began.
    pub(crate) fn judge(self, outcome: Outcome, attempt: u32, elapsed: Duration) -> Verdict {
        let pause = match outcome {
            Outcome::Answered { status: 429 | 503, retry_after } => {
                retry_after.unwrap_or_else(|| backoff(attempt))
            }
            // Its twin is being answered.
            Outcome::Answered { status: 409, retry_after: Some(after) } => after,
            Outcome::Answered { status: 502 | 504, .. } if self.outages => backoff(attempt),
            Outcome::Answered { .. } => return Verdict::Take,
            Outcome::Lost { reused: true } => Duration::ZERO,
            Outcome::Lost { reused: false } | Outcome::NotConnected | Outcome::TimedOut => {
                if !self.outages {
                    return Verdict::Take;
                }
                backoff(attempt)
            }
        };
        let pause = pause.min(LONGEST_PAUSE);
        if elapsed + pause > GIVES_UP_AFTER { Verdict::Take } else { Verdict::Again(pause) }
    }
}

fn backoff(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn answered(status: u16, retry_after: Option<u64>) -> Outcome {
        let retry_after = match retry_after {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => None,
        };
        Outcome::Answered { status, retry_after }
    }

    #[test]
    fn it_comes_again_when_it_is_asked_to() {
        let check = |outcome: Outcome, healthy: Option<u64>, outages: Option<u64>| {
            for (expected, outages) in [(healthy, false), (outages, true)] {
                let verdict = Patience { outages }.judge(outcome, 1, Duration::ZERO);
                let expected = expected
                    .map_or(Verdict::Take, |pause| Verdict::Again(Duration::from_millis(pause)));
                assert_eq!(verdict, expected, "{outcome:?} {outages}");
            }
        };
        for status in [200, 201, 202, 304, 400, 401, 403, 404, 409, 413, 422, 500] {
            check(answered(status, None), None, None);
        }
        check(answered(503, None), Some(50), Some(50));
        check(answered(503, Some(1)), Some(1000), Some(1000));
        check(answered(429, Some(2)), Some(2000), Some(2000));
        check(answered(429, Some(3600)), Some(30_000), Some(30_000));
        check(answered(409, Some(1)), Some(1000), Some(1000));
        check(answered(200, Some(1)), None, None);
        check(answered(500, Some(1)), None, None);
        check(answered(502, None), None, Some(50));
        check(answered(504, None), None, Some(50));
        check(Outcome::Lost { reused: true }, Some(0), Some(0));
        check(Outcome::Lost { reused: false }, None, Some(50));
        check(Outcome::NotConnected, None, Some(50));
        check(Outcome::TimedOut, None, Some(50));
    }

    #[test]
    fn pauses_grow_and_end() {
        let check = |attempt, millis: u64| {
            assert_eq!(backoff(attempt), Duration::from_millis(millis), "{attempt}");
        };
        check(1, 50);
        check(2, 100);
        check(5, 800);
        check(7, 2000);
        check(u32::MAX, 2000);
    }

    #[test]
    fn patience_ends() {
        let check = |outcome, elapsed: u64, expected: bool| {
            let verdict =
                Patience { outages: true }.judge(outcome, 3, Duration::from_secs(elapsed));
            assert_eq!(verdict != Verdict::Take, expected, "{outcome:?} {elapsed}");
        };
        check(answered(503, Some(1)), 59, true);
        check(answered(503, Some(1)), 60, false);
        check(answered(503, Some(30)), 31, false);
        check(Outcome::Lost { reused: true }, 61, false);
        check(Outcome::NotConnected, 60, false);
    }
}
