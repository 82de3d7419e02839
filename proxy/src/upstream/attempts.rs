//! The one loop that tries endpoints, for requests and for tunnels.
//!
//! The loop knows how many attempts are allowed and which endpoints are left. Its caller knows what an
//! attempt does, and whether another one is safe.

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::upstream::balance::{PickKey, Picked};
use crate::upstream::local::LocalUpstream;

/// The most endpoints that are remembered as tried.
const MAX_TRIED: usize = 8;

/// The attempts of one caller.
pub(crate) trait Attempts {
    type Answer;
    type Failure;

    /// Makes one attempt, beginning at `now`.
    async fn attempt(
        &mut self,
        picked: &Picked,
        now: Instant,
    ) -> Result<Self::Answer, Self::Failure>;

    /// Whether another attempt is safe and in time. If so, this has prepared it.
    fn may_follow(&mut self, failure: &Self::Failure, now: Instant) -> bool;

    /// The upstream has no endpoint.
    fn no_endpoint(&mut self) -> Self::Failure;
}

/// Which endpoints may be tried, and how often.
pub(crate) struct Budget<'a> {
    pub(crate) upstream: &'a LocalUpstream,
    pub(crate) key: &'a PickKey,
    /// Attempts after the first one.
    pub(crate) extra: u8,
    pub(crate) begun: Instant,
}

impl Budget<'_> {
    fn count_retry(&self) {
        self.upstream.live.metrics.of(self.upstream.worker()).retries.increment();
    }
}

/// Tries endpoints until one attempt has an answer or no further one is allowed.
pub(crate) async fn try_each<A: Attempts>(
    budget: &Budget<'_>,
    attempts: &mut A,
) -> Result<A::Answer, A::Failure> {
    let mut now = budget.begun;
    let mut left = budget.extra;
    let mut tried: SmallVec<[u64; MAX_TRIED]> = SmallVec::new();
    loop {
        let Some(picked) = budget.upstream.balancer.pick(budget.key, &tried, now) else {
            return Err(attempts.no_endpoint());
        };
        let failure = match attempts.attempt(&picked, now).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        now = Instant::now();
        if left == 0 || !attempts.may_follow(&failure, now) {
            return Err(failure);
        }
        left -= 1;
        budget.count_retry();
        if tried.len() < MAX_TRIED {
            tried.push(picked.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_config::model::BalancePolicy;

    use super::*;
    use crate::upstream::fixture::{local, numbered, upstream};

    /// Fails `times` attempts; after `harmless` attempts no other may follow.
    struct Fails {
        times: usize,
        harmless: usize,
        seen: Vec<u64>,
    }

    impl Attempts for Fails {
        type Answer = usize;
        type Failure = &'static str;

        async fn attempt(&mut self, picked: &Picked, _: Instant) -> Result<usize, &'static str> {
            self.seen.push(picked.id);
            if self.seen.len() > self.times { Ok(self.seen.len()) } else { Err("failed") }
        }

        fn may_follow(&mut self, _: &&'static str, _: Instant) -> bool {
            self.seen.len() <= self.harmless
        }

        fn no_endpoint(&mut self) -> &'static str {
            "none"
        }
    }

    #[tokio::test]
    async fn attempts_go_on_until_one_succeeds_or_none_may_follow() {
        for (endpoints, extra, times, harmless, expected, retries) in [
            (3, 2, 0, 9, Ok(1), 0),
            (3, 2, 2, 9, Ok(3), 2),
            (3, 2, 3, 9, Err("failed"), 2),
            (3, 0, 1, 9, Err("failed"), 0),
            (3, 2, 2, 1, Err("failed"), 1),
            (1, 2, 2, 9, Ok(3), 2),
            (8, 7, 7, 9, Ok(8), 7),
            (0, 2, 0, 9, Err("none"), 0),
        ] {
            let endpoints = (0..endpoints).map(|n| (numbered(n), 1));
            let upstream = local(&upstream(BalancePolicy::Random, endpoints));
            let mut fails = Fails { times, harmless, seen: Vec::new() };
            let key = PickKey::default();
            let budget = Budget { upstream: &upstream, key: &key, extra, begun: Instant::now() };
            assert_eq!(try_each(&budget, &mut fails).await, expected);
            assert_eq!(upstream.live.metrics.of(upstream.worker()).retries.value(), retries);
            let mut distinct = fails.seen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), fails.seen.len().min(upstream.balancer.len()));
        }
    }
}
