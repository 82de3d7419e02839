//! Records the outcome of attempts, in this one place: in the endpoint's balancer and counters.
//!
//! Knows no protocol: the caller that makes an attempt reports its outcome.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Fault, Reason};
use crate::observe::counter::WorkerId;
use crate::observe::series::ConnectFailure;
use crate::upstream::acquire::AcquireError;
use crate::upstream::balance::{self, InFlight, Picked};
use crate::upstream::local::{LocalEndpoint, LocalUpstream};

/// The outcome of an attempt, as far as it concerns its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// No connection could be opened.
    NoConnection(ConnectFailure),
    /// A tunnel's connection was opened in this time, which is all that is known of the latency.
    Connected { took: Duration },
    /// The head of a response came; `latency` counts from the first byte sent.
    Answered { status: u16, latency: Duration },
    /// The endpoint refused the stream without processing it.
    Refused,
    /// The connection or the stream ended during the exchange.
    Reset,
    /// The endpoint did not send its response, or the rest of it, in time.
    Timeout,
    /// The endpoint's bytes are not a valid response.
    Invalid,
    /// The endpoint reset a tunnel. Some protocols end like this, so it counts as a failure, but the
    /// balancer ignores it.
    TunnelReset,
    /// The client or this proxy is at fault, not the endpoint.
    Unjudged,
}

impl AttemptOutcome {
    /// The outcome of an exchange that ended for this reason.
    pub fn of(reason: Reason) -> Self {
        match reason {
            _ if reason.fault() != Fault::Upstream => Self::Unjudged,
            Reason::UpstreamReset | Reason::UpstreamTruncated => Self::Reset,
            Reason::UpstreamTimeout | Reason::UpstreamIdle => Self::Timeout,
            _ => Self::Invalid,
        }
    }
}

/// The record of one attempt at an endpoint. It counts as in flight until it is dropped.
pub struct Trial {
    endpoint: Rc<LocalEndpoint>,
    in_flight: InFlight,
    worker: WorkerId,
}

impl Trial {
    pub fn begin(upstream: &LocalUpstream, picked: &Picked) -> Self {
        let endpoint = upstream.endpoint(picked);
        let trial = Self { endpoint, in_flight: picked.start(), worker: upstream.worker() };
        trial.endpoint.metrics.of(trial.worker).in_flight.add(1);
        trial
    }

    pub fn endpoint(&self) -> &Rc<LocalEndpoint> {
        &self.endpoint
    }

    /// Counts the attempt, unless it failed in the queue before the endpoint.
    pub fn connected<T>(&self, acquired: Result<T, AcquireError>) -> Result<T, AcquireError> {
        let requests = &self.endpoint.metrics.of(self.worker).requests;
        match &acquired {
            Ok(_) => requests.increment(),
            Err(AcquireError::Connect(error)) => {
                requests.increment();
                self.record(AttemptOutcome::NoConnection(error.failure()), Instant::now());
            }
            Err(AcquireError::Cap(_)) => {}
        }
        acquired
    }

    /// Records the outcome of the attempt, or of a part of it.
    pub fn record(&self, outcome: AttemptOutcome, now: Instant) {
        let shard = self.endpoint.metrics.of(self.worker);
        let failure = match outcome {
            AttemptOutcome::Unjudged => return,
            AttemptOutcome::TunnelReset => return shard.failures.increment(),
            AttemptOutcome::Connected { took } => {
                let seen = balance::Observation { latency: Some(took), failed: false };
                return self.in_flight.observe(seen, now);
            }
            AttemptOutcome::Answered { status, latency } => {
                let seen = balance::Observation { latency: Some(latency), failed: status >= 500 };
                return self.in_flight.observe(seen, now);
            }
            AttemptOutcome::NoConnection(_)
            | AttemptOutcome::Refused
            | AttemptOutcome::Reset
            | AttemptOutcome::Timeout
            | AttemptOutcome::Invalid => balance::Observation { latency: None, failed: true },
        };
        shard.failures.increment();
        self.in_flight.observe(failure, now);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.endpoint.metrics.of(self.worker).in_flight.add(-1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portcullis_config::model::BalancePolicy;

    use super::*;
    use crate::upstream::balance::PickKey;
    use crate::upstream::fixture::{local, numbered, upstream};

    #[test]
    fn each_outcome_is_counted_once_by_every_counter() {
        let took = Duration::from_millis(5);
        for (outcome, failures) in [
            (AttemptOutcome::NoConnection(ConnectFailure::Timeout), 1),
            (AttemptOutcome::Connected { took }, 0),
            (AttemptOutcome::Answered { status: 200, latency: took }, 0),
            (AttemptOutcome::Answered { status: 503, latency: took }, 0),
            (AttemptOutcome::Refused, 1),
            (AttemptOutcome::Reset, 1),
            (AttemptOutcome::Timeout, 1),
            (AttemptOutcome::Invalid, 1),
            (AttemptOutcome::TunnelReset, 1),
            (AttemptOutcome::Unjudged, 0),
        ] {
            let upstream = local(&upstream(BalancePolicy::Random, [(numbered(1), 1)]));
            let now = Instant::now();
            let picked = upstream.balancer.pick(&PickKey::default(), &[], now).unwrap();
            let trial = Trial::begin(&upstream, &picked);
            let metrics = Arc::clone(&trial.endpoint().metrics);
            let in_flight = || (picked.in_flight(), metrics.of(WorkerId(0)).in_flight.value());
            assert_eq!(in_flight(), (1, 1));
            trial.record(outcome, now);
            assert_eq!(metrics.failures(), failures, "{outcome:?}");
            drop(trial);
            assert_eq!(in_flight(), (0, 0));
        }
    }

    #[test]
    fn only_what_is_the_upstreams_fault_is_held_against_it() {
        for reason in Reason::ALL {
            let judged = AttemptOutcome::of(*reason) != AttemptOutcome::Unjudged;
            assert_eq!(judged, reason.fault() == Fault::Upstream, "{}", reason.label());
        }
    }
}
