//! One name, asked for again and again: when, and what an answer changes.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::{AddressFamily, MAX_ADDRESSES, Resolve, ResolveError, ResolvedAddresses, Timing};
use crate::upstream::store::{NameToResolve, Store};

pub(super) struct Task {
    /// Weak, so that a lookup does not keep an unused store alive.
    pub(super) store: Weak<Store>,
    pub(super) question: NameToResolve,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) turns: Arc<Semaphore>,
    pub(super) timing: Timing,
    pub(super) random: fastrand::Rng,
}

impl Task {
    /// Until the store is gone. Cancelled from outside, so that it does not wait for its pause.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let answer = self.ask().await;
            let Some(store) = self.store.upgrade() else { return };
            let pause = match answer {
                Ok(answer) => {
                    if failures > 0 {
                        tracing::info!(failures, "the name resolves again");
                    }
                    let whole = answer.missing.is_none();
                    failures = if whole { 0 } else { failures + 1 };
                    let pause = self.after_answer(answer.ttl);
                    self.take_over(&store, answer);
                    if whole { pause } else { pause.min(self.after_failure(failures)) }
                }
                Err(error) => {
                    failures = store.fail(self.question.source, error);
                    if failures == 1 {
                        let known = self.question.known.as_ref().map_or(0, Vec::len);
                        tracing::warn!(%error, known, "the name does not resolve; what is known serves on");
                    }
                    self.after_failure(failures)
                }
            };
            drop(store);
            sleep(pause).await;
        }
    }

    async fn ask(&self) -> Result<ResolvedAddresses, ResolveError> {
        // The semaphore is never closed; were it, asking without a turn would do no harm.
        let _turn = self.turns.acquire().await;
        let asking = self.resolver.resolve(&self.question.host);
        let answer =
            timeout(self.timing.deadline, asking).await.map_err(|_| ResolveError::TimedOut)??;
        if answer.addresses.is_empty() { Err(ResolveError::NoAddresses) } else { Ok(answer) }
    }

    fn take_over(&mut self, store: &Store, answer: ResolvedAddresses) {
        let addresses = merge(self.question.known.as_deref().unwrap_or_default(), answer);
        if store.publish(self.question.source, &addresses, Instant::now()) {
            tracing::info!(addresses = addresses.len(), "endpoints changed");
        }
        self.question.known = Some(addresses);
    }

    /// The time to live and up to a tenth more, so that caches on the way have let go of it and
    /// proxies do not ask in step.
    fn after_answer(&mut self, ttl: Duration) -> Duration {
        let ttl = ttl.clamp(self.timing.ttl_least, self.timing.ttl_most);
        ttl.mul_f64(1.0 + self.random.f64() / 10.0)
    }

    /// Doubled with each failure up to the longest, and half of it left to chance.
    fn after_failure(&mut self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.timing.retry_first.saturating_mul(doubled).min(self.timing.retry_most);
        pause.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}

/// What is used of an answer: sorted, so that its order says nothing, and bounded.
fn merge(known: &[IpAddr], answer: ResolvedAddresses) -> Vec<IpAddr> {
    let kept = known.iter().filter(|address| Some(AddressFamily::of(**address)) == answer.missing);
    let mut addresses: Vec<_> = kept.copied().chain(answer.addresses).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > MAX_ADDRESSES {
        tracing::warn!(found = addresses.len(), used = MAX_ADDRESSES, "too many addresses");
        addresses.truncate(MAX_ADDRESSES);
    }
    addresses
}
