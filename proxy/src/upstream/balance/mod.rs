//! Choosing an endpoint: one balancer for each cluster on each worker.
//!
//! A balancer belongs to its worker alone (`Rc` and `Cell`), so a pick takes no lock, writes no
//! line that another worker reads and allocates nothing; it follows the shared endpoint set by one
//! pointer compare. What it knows of an endpoint (requests in flight, latency) is this worker's
//! own experience and stays with the endpoint's identity when the set or the configuration
//! changes. Balancers know nothing of connections or protocols: they learn when a request
//! starts and how it ended.

mod draw;
mod key;
mod load;
pub(super) mod maglev;
mod member;
pub(super) mod ring;
mod round_robin;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use portcullis_config::model::BalancePolicy;
use tokio::time::Instant;

use self::draw::Weights;
pub use self::key::{PickKey, hash_of, hash_of_peer};
pub use self::member::{InFlight, Observation, Picked};
use self::member::{Member, MemberState, Typical};
use self::round_robin::RoundRobin;
use super::cluster::Cluster;
use super::endpoint::{EndpointSet, HashTable};

/// See the module.
pub struct Balancer {
    inner: RefCell<Inner>,
}

struct Inner {
    policy: Strategy,
    source: Cache<Arc<ArcSwap<EndpointSet>>, Arc<EndpointSet>>,
    /// The set that `members` mirrors, place by place.
    set: Arc<EndpointSet>,
    members: Vec<Rc<Member>>,
    /// Identity and place, sorted, for sticky keys.
    places: Vec<(u64, usize)>,
    weights: Weights,
    turns: RoundRobin,
    typical: Typical,
    random: fastrand::Rng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    RoundRobin,
    LeastRequest,
    P2cEwma,
    Random,
    /// Ring or Maglev: the set brings its table along.
    Hash,
}

impl Balancer {
    /// Workers need seeds of their own: equal ones would march in step.
    pub fn new(cluster: &Cluster, seed: u64) -> Self {
        Self::build(cluster, fastrand::Rng::with_seed(seed), Typical::default(), &[])
    }

    /// A balancer for the cluster's next generation that keeps what this one has learnt.
    pub fn succeed(&self, cluster: &Cluster) -> Self {
        let mut inner = self.inner.borrow_mut();
        let random = inner.random.fork();
        Self::build(cluster, random, inner.typical.clone(), &inner.members)
    }

    fn build(
        cluster: &Cluster,
        random: fastrand::Rng,
        typical: Typical,
        known: &[Rc<Member>],
    ) -> Self {
        let mut source = Cache::new(Arc::clone(cluster.endpoint_source()));
        let set = Arc::clone(source.load());
        let mut inner = Inner {
            policy: Strategy::of(&cluster.config.load_balancer.policy),
            source,
            set: Arc::new(EndpointSet::default()),
            members: known.to_vec(),
            places: Vec::new(),
            weights: Weights::new(cluster.config.load_balancer.slow_start),
            turns: RoundRobin::default(),
            typical,
            random,
        };
        inner.adopt(set);
        Self { inner: RefCell::new(inner) }
    }

    /// Chooses an endpoint, one not among `tried` while there is another; `None` only when the
    /// cluster has none at all.
    pub fn pick(&self, key: &PickKey, tried: &[u64], now: Instant) -> Option<Picked> {
        let mut inner = self.inner.borrow_mut();
        inner.refresh();
        let place = inner.choose(key, tried, now)?;
        inner.members.get(place).map(|member| Picked(Rc::clone(member)))
    }

    /// How many endpoints there are to pick from.
    pub fn len(&self) -> usize {
        let mut inner = self.inner.borrow_mut();
        inner.refresh();
        inner.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Strategy {
    fn of(policy: &BalancePolicy) -> Self {
        match policy {
            BalancePolicy::RoundRobin => Self::RoundRobin,
            BalancePolicy::LeastRequest => Self::LeastRequest,
            BalancePolicy::P2cEwma => Self::P2cEwma,
            BalancePolicy::Random => Self::Random,
            BalancePolicy::RingHash(_) | BalancePolicy::Maglev(_) => Self::Hash,
        }
    }
}

impl Inner {
    fn refresh(&mut self) {
        let current = self.source.load();
        if !Arc::ptr_eq(current, &self.set) {
            let current = Arc::clone(current);
            self.adopt(current);
        }
    }

    fn adopt(&mut self, set: Arc<EndpointSet>) {
        let old: std::collections::HashMap<u64, &Rc<Member>> =
            self.members.iter().map(|member| (member.endpoint.id, member)).collect();
        let members: Vec<_> = set
            .endpoints
            .iter()
            .map(|endpoint| match old.get(&endpoint.id) {
                Some(member) if Arc::ptr_eq(&member.endpoint, endpoint) => Rc::clone(member),
                Some(member) => {
                    let state = Rc::clone(&member.state);
                    Rc::new(Member { endpoint: Arc::clone(endpoint), state })
                }
                None => {
                    let state = Rc::new(MemberState::new(self.typical.clone()));
                    Rc::new(Member { endpoint: Arc::clone(endpoint), state })
                }
            })
            .collect();
        self.members = members;
        self.places = self.members.iter().map(|m| m.endpoint.id).zip(0..).collect();
        self.places.sort_unstable();
        self.weights.adopt(&self.members);
        self.turns.adopt(&self.members, &mut self.random);
        self.set = set;
    }

    fn choose(&mut self, key: &PickKey, tried: &[u64], now: Instant) -> Option<usize> {
        if self.members.len() < 2 {
            return (!self.members.is_empty()).then_some(0);
        }
        let allowed = |place: usize| !tried.contains(&self.members[place].endpoint.id);
        if let Some(sticky) = key.sticky
            && let Ok(found) = self.places.binary_search_by_key(&sticky, |(id, _)| *id)
            && allowed(self.places[found].1)
        {
            return Some(self.places[found].1);
        }
        if self.policy == Strategy::Hash
            && let Some(hash) = key.hash
        {
            let found = match &self.set.table {
                HashTable::Ring(ring) => ring.pick(hash, allowed),
                HashTable::Maglev(maglev) => maglev.pick(hash, allowed),
                HashTable::None => None,
            };
            if found.is_some() {
                return found;
            }
        }
        self.weights.advance(now);
        let (members, weights) = (&self.members, &self.weights);
        match self.policy {
            Strategy::RoundRobin => self.turns.pick(members, weights, tried, now),
            Strategy::Random | Strategy::Hash => {
                weights.draw(members, tried, &mut self.random, now)
            }
            Strategy::LeastRequest => {
                let (one, other) = weights.draw_two(members, tried, &mut self.random, now)?;
                Some(load::fewer_requests(
                    weights,
                    (one, &members[one]),
                    (other, &members[other]),
                    now,
                ))
            }
            Strategy::P2cEwma => {
                let (one, other) = weights.draw_two(members, tried, &mut self.random, now)?;
                Some(load::cheaper(weights, (one, &members[one]), (other, &members[other]), now))
            }
        }
    }
}

#[cfg(test)]
mod tests;
