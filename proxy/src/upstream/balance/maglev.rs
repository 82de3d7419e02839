//! maglev: consistent hashing by a lookup table, even to within a hundredth and constant in time.
//!
//! Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI
//! 2016), section 3.4, with weights as turns: in each round an endpoint claims slots in
//! proportion to its weight. When an endpoint goes, its own keys move and few others.

use std::sync::Arc;

use crate::upstream::endpoint::Endpoint;
use crate::upstream::hash;

/// Slots of the table: the paper's size, prime, a hundred for each of 655 endpoints.
const SIZE: usize = 65_537;
/// Other slots tried for a key whose own is not allowed, before the endpoints are gone through.
const DETOURS: u32 = 8;
const FREE: u16 = u16::MAX;

pub(in crate::upstream) struct Maglev {
    /// The endpoint of each slot, by its place in the set; empty without endpoints.
    slots: Box<[u16]>,
    endpoints: usize,
}

impl std::fmt::Debug for Maglev {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Maglev").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// One endpoint's order of preference among the slots, and how many it may claim.
struct Claim {
    place: u16,
    weight: u64,
    next: usize,
    skip: usize,
    /// Grows by the greatest weight with each slot claimed.
    due: u64,
}

impl Maglev {
    pub(in crate::upstream) fn new(endpoints: &[Arc<Endpoint>]) -> Self {
        let greatest = endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).max();
        let Some(greatest) = greatest else {
            return Self { slots: Box::default(), endpoints: 0 };
        };
        let mut claims: Vec<_> = (0u16..).zip(endpoints).map(|(n, one)| claim(n, one)).collect();
        // The table depends on who claims first, so the order must not depend on the file.
        claims.sort_unstable_by_key(|claim| endpoints[usize::from(claim.place)].id);
        let mut slots = vec![FREE; SIZE].into_boxed_slice();
        let mut left = SIZE;
        let mut round = 0;
        while left > 0 {
            round += 1;
            for claim in &mut claims {
                if left == 0 || round * claim.weight < claim.due {
                    continue;
                }
                claim.due += greatest;
                while slots[claim.next] != FREE {
                    claim.next = (claim.next + claim.skip) % SIZE;
                }
                slots[claim.next] = claim.place;
                left -= 1;
            }
        }
        Self { slots, endpoints: endpoints.len() }
    }

    /// The key's endpoint, or another that `allowed` takes: always the same one for a key.
    pub(super) fn pick(&self, key: u64, mut allowed: impl FnMut(usize) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut hash = key;
        for _ in 0..=DETOURS {
            let place = usize::from(self.slots[slot(hash)]);
            if allowed(place) {
                return Some(place);
            }
            hash = hash::remix(hash);
        }
        let start = usize::from(self.slots[slot(key)]);
        (1..self.endpoints).map(|step| (start + step) % self.endpoints).find(|n| allowed(*n))
    }
}

fn claim(place: u16, endpoint: &Endpoint) -> Claim {
    let first = hash::remix(endpoint.id);
    let next = slot(first);
    let skip = slot_below(hash::remix(first), SIZE - 1) + 1;
    Claim { place, weight: u64::from(endpoint.weight), next, skip, due: 0 }
}

fn slot(hash: u64) -> usize {
    slot_below(hash, SIZE)
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
fn slot_below(hash: u64, size: usize) -> usize {
    (hash % size as u64) as usize
}
