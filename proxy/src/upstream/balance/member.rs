//! An endpoint as one worker has come to know it, and the guard that keeps the knowledge true.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::load::Latency;
use crate::upstream::endpoint::Endpoint;

pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) state: Rc<MemberState>,
}

/// Outlives the member when a weight changes: requests in flight still count.
pub(super) struct MemberState {
    pub(super) in_flight: Cell<u32>,
    pub(super) latency: Cell<Option<Latency>>,
    typical: Typical,
}

/// Seconds that an answer of this cluster usually takes; `None` before the first one.
pub(super) type Typical = Rc<Cell<Option<f64>>>;

impl MemberState {
    pub(super) fn new(typical: Typical) -> Self {
        Self { in_flight: Cell::new(0), latency: Cell::new(None), typical }
    }

    fn observe(&self, outcome: Observation, now: Instant) {
        let latency = self.latency.get();
        let seconds = outcome.latency.map(|latency| latency.as_secs_f64());
        if outcome.failed {
            let sample = super::load::penalty(latency, self.typical.get(), seconds, now);
            self.latency.set(Some(Latency::next(latency, sample, now)));
        } else if let Some(seconds) = seconds {
            self.latency.set(Some(Latency::next(latency, seconds, now)));
            self.typical.set(Some(super::load::typical(self.typical.get(), seconds)));
        }
    }
}

/// How a request to an endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// From the first byte sent to the response's head; `None` when there was none.
    pub latency: Option<Duration>,
    /// The endpoint is to blame: it could not be reached, broke off, took too long, or answered
    /// that it cannot serve (a 5xx). Never for a client that went away.
    pub failed: bool,
}

/// A chosen endpoint. Cheap to clone; reads as the [`Endpoint`].
#[derive(Clone)]
pub struct Picked(pub(super) Rc<Member>);

impl Picked {
    /// Counts a request as under way until the guard is dropped.
    pub fn start(&self) -> InFlight {
        let count = &self.0.state.in_flight;
        count.set(count.get().saturating_add(1));
        InFlight { picked: self.clone() }
    }

    /// Requests of this worker under way.
    pub fn in_flight(&self) -> u32 {
        self.0.state.in_flight.get()
    }

    /// The endpoint as the process shares it.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0.endpoint
    }
}

impl Deref for Picked {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.0.endpoint
    }
}

impl std::fmt::Debug for Picked {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Picked").field(&self.0.endpoint).finish()
    }
}

/// A request under way. Dropped without [`InFlight::observe`] it says nothing about the endpoint.
#[derive(Debug)]
pub struct InFlight {
    picked: Picked,
}

impl InFlight {
    /// Records what became of it, usually when the response's head is there; the request stays
    /// counted until the guard is dropped, which is when the body has ended.
    pub fn observe(&self, outcome: Observation, now: Instant) {
        self.picked.0.state.observe(outcome, now);
    }

    pub fn picked(&self) -> &Picked {
        &self.picked
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let count = &self.picked.0.state.in_flight;
        count.set(count.get().saturating_sub(1));
    }
}
