//! ring-hash: consistent hashing on a ring of points, Ketama as nginx places them.
//!
//! Source: Karger et al., "Consistent Hashing and Random Trees" (STOC 1997); the placement is
//! `pingora-ketama`'s, 160 points for each unit of weight. When an endpoint goes, only its own
//! keys move.

use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use pingora_ketama::{Bucket, Continuum};

use crate::upstream::endpoint::{Endpoint, EndpointAddress};
use crate::upstream::hash;

/// Units of weight on one ring at most: 160 points of 8 bytes each.
const MAX_UNITS: u64 = 1024;

pub(in crate::upstream) struct Ring {
    continuum: Continuum,
    /// The endpoint of each point, by its place in the set.
    owners: Box<[u16]>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ring").field("points", &self.owners.len()).finish_non_exhaustive()
    }
}

impl Ring {
    pub(in crate::upstream) fn new(endpoints: &[Arc<Endpoint>]) -> Self {
        let shift = shift(endpoints);
        let mut taken = HashSet::new();
        let mut places = std::collections::HashMap::new();
        let mut buckets = Vec::with_capacity(endpoints.len());
        for (place, endpoint) in (0u16..).zip(endpoints) {
            let node = node(endpoint, &mut taken);
            places.insert(node, place);
            buckets.push(Bucket::new(node, units(endpoint.weight, shift)));
        }
        // Equal points fall to whichever stands first, so the order must not depend on the file.
        buckets.sort_unstable();
        let continuum = Continuum::new(&buckets);
        let owners = (0..)
            .map_while(|point| {
                let mut cursor = point;
                continuum.get_addr(&mut cursor).and_then(|node| places.get(node)).copied()
            })
            .collect();
        Self { continuum, owners }
    }

    /// The key's endpoint, or the next on the ring that `allowed` takes.
    pub(super) fn pick(&self, key: u64, mut allowed: impl FnMut(usize) -> bool) -> Option<usize> {
        if self.owners.is_empty() {
            return None;
        }
        let start = self.continuum.node_idx(&key.to_le_bytes());
        let (before, after) = self.owners.split_at(start);
        after.iter().chain(before).map(|owner| usize::from(*owner)).find(|place| allowed(*place))
    }
}

/// By how many bits weights are cut so that the ring keeps its bound. Powers of two, so that one
/// endpoint more or less seldom changes the points of the others.
fn shift(endpoints: &[Arc<Endpoint>]) -> u32 {
    (0..16)
        .find(|shift| {
            let units = endpoints.iter().map(|endpoint| units(endpoint.weight, *shift));
            units.map(u64::from).sum::<u64>() <= MAX_UNITS
        })
        .unwrap_or(16)
}

fn units(weight: u16, shift: u32) -> u32 {
    (u32::from(weight) >> shift).max(1)
}

/// What stands for an endpoint on the ring: its address where it is the only one with it, else an
/// address made up from its identity, because the ring takes no other names.
fn node(endpoint: &Endpoint, taken: &mut HashSet<SocketAddr>) -> SocketAddr {
    if let EndpointAddress::Tcp(address) = endpoint.address
        && taken.insert(address)
    {
        return address;
    }
    let high = hash::remix(endpoint.id);
    let made_up = Ipv6Addr::from(u128::from(high) << 64 | u128::from(endpoint.id));
    let node = SocketAddr::V6(SocketAddrV6::new(made_up, 0, 0, 0));
    taken.insert(node);
    node
}
