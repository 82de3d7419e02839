//! The weighted choice among a route's backends.
//!
//! Stateless: one random number in, one backend out, so that it can be replayed.

use portcullis_config::model::{self, UpstreamId};

/// One backend of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    pub upstream: UpstreamId,
    /// Names the upstream in sticky cookies: the same over reloads, restarts and replicas.
    pub key: u64,
    pub weight: u32,
}

/// The backends of a route; their weights sum to more than nothing.
#[derive(Debug)]
pub struct Backends {
    entries: Box<[Backend]>,
    /// `bounds[i]` is the sum of the weights up to and with entry `i`.
    bounds: Box<[u64]>,
}

impl Backends {
    /// `key` names an upstream for its whole life. `None` when no backend has a weight.
    pub fn try_new(backends: &[model::Backend], key: impl Fn(UpstreamId) -> u64) -> Option<Self> {
        let entry = |it: &model::Backend| Backend {
            upstream: it.upstream,
            key: key(it.upstream),
            weight: it.weight,
        };
        // A backend of weight 0 never gets a request, not even a sticky one.
        let entries: Box<[_]> = backends.iter().filter(|it| it.weight > 0).map(entry).collect();
        let bounds = entries.iter().scan(0, |sum, it| {
            *sum += u64::from(it.weight);
            Some(*sum)
        });
        let bounds: Box<[_]> = bounds.collect();
        (!entries.is_empty()).then_some(Self { entries, bounds })
    }

    /// The backend for a uniformly distributed number.
    pub fn pick(&self, random: u64) -> &Backend {
        if self.entries.len() == 1 {
            return &self.entries[0];
        }
        // Scales to 0..total without a division (Lemire, "Fast random integer generation in an
        // interval"); the bias, below total / 2^64, is left in.
        let point = ((u128::from(random) * u128::from(self.total_weight())) >> 64) as u64;
        &self.entries[self.bounds.partition_point(|bound| *bound <= point)]
    }

    /// The backend that a sticky cookie names, if it still has a weight.
    pub fn by_key(&self, key: u64) -> Option<&Backend> {
        self.entries.iter().find(|it| it.key == key)
    }

    /// Those with a weight, in the order of the file.
    pub fn entries(&self) -> &[Backend] {
        &self.entries
    }

    pub fn total_weight(&self) -> u64 {
        self.bounds.last().copied().unwrap_or_default()
    }
}
