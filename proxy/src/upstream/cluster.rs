//! One upstream as a live thing: its settings, its endpoints and its process-wide caps.
//!
//! A cluster is built anew with each configuration generation, but what is unchanged by key is
//! the same object in both: the endpoints when their sources are the same, the caps' counters
//! always. Building one changes nothing that the previous generation sees, so a reload that fails
//! later on leaves no trace.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use portcullis_config::model::{BalancePolicy, Upstream};

use super::caps::{ConnectionPermit, PendingPermit, Usage};
use super::discovery::ResolveError;
use super::endpoint::{EndpointSet, TableKind};
use super::hash;
use super::store::{Store, StoreKey};

/// Which upstream: the same for the same name in every generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u64);

#[derive(Debug)]
pub struct Cluster {
    pub name: String,
    pub slot: ClusterId,
    pub config: Upstream,
    store: Arc<Store>,
    usage: Arc<Usage>,
}

/// How a name that endpoints come from is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    pub host: String,
    /// The last good answer.
    pub addresses: Option<Vec<IpAddr>>,
    /// Failures in a row since then.
    pub failures: u32,
    pub last_error: Option<ResolveError>,
}

impl Cluster {
    /// Static and Unix endpoints are there at once; names need [`super::discovery::Discovery`].
    pub fn build(config: &Upstream, previous: Option<&Arc<Self>>) -> Arc<Self> {
        let previous = previous.filter(|previous| previous.name == config.name);
        let key = StoreKey::new(config, table_of(&config.load_balancer.policy));
        let store = match previous {
            Some(previous) if *previous.store.key() == key => Arc::clone(&previous.store),
            _ => {
                let before = previous.map(|previous| &*previous.store);
                Arc::new(Store::new(&config.name, key, before))
            }
        };
        Arc::new(Self {
            name: config.name.clone(),
            slot: ClusterId(hash::stable(&[config.name.as_bytes()])),
            config: config.clone(),
            store,
            usage: previous.map(|previous| Arc::clone(&previous.usage)).unwrap_or_default(),
        })
    }

    /// The endpoints now. Workers follow them through their balancer instead.
    pub fn endpoints(&self) -> Guard<Arc<EndpointSet>> {
        self.store.current().load()
    }

    /// What a [`arc_swap::Cache`] of a worker follows.
    pub fn endpoint_source(&self) -> &Arc<ArcSwap<EndpointSet>> {
        self.store.current()
    }

    /// Whether the two have the very same endpoints, now and in future.
    pub fn shares_endpoints_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }

    /// Whether a balancer of the one serves the other as it is; else let it be succeeded.
    pub fn balances_like(&self, other: &Self) -> bool {
        let (one, other_one) = (&self.config.load_balancer, &other.config.load_balancer);
        self.shares_endpoints_with(other)
            && one.policy == other_one.policy
            && one.slow_start == other_one.slow_start
    }

    /// Every name has been resolved at least once.
    pub fn is_ready(&self) -> bool {
        *self.store.ready().borrow()
    }

    /// Waits until [`Self::is_ready`]. Callers give it a deadline: a name that does not exist
    /// never becomes ready.
    pub async fn ready(&self) {
        // The store, and so the sender, outlives this borrow of the cluster.
        let _ = self.store.ready().wait_for(|ready| *ready).await;
    }

    /// The names that this cluster's endpoints come from.
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.store.status()
    }

    /// Why there may be no endpoint: the name that does not resolve. Read when a request fails.
    pub fn unresolved(&self) -> Option<String> {
        self.store.unresolved().load().as_deref().cloned()
    }

    /// The right to open one connection, if `max_connections` has room.
    pub fn try_connect(&self) -> Option<ConnectionPermit> {
        self.usage.try_connect(self.config.concurrency.max_connections.get())
    }

    /// Waits for the right to open one connection. Callers hold a [`PendingPermit`] meanwhile
    /// and give it a deadline.
    pub async fn connect(&self, at_once: bool) -> ConnectionPermit {
        self.usage.connect(self.config.concurrency.max_connections.get(), at_once).await
    }

    /// A place among the waiting, if `max_pending` has room.
    pub fn try_pend(&self) -> Option<PendingPermit> {
        self.usage.try_pend(*self.config.concurrency.max_pending)
    }

    pub fn open_connections(&self) -> u32 {
        self.usage.open()
    }

    pub fn pending_requests(&self) -> u32 {
        self.usage.pending()
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

fn table_of(policy: &BalancePolicy) -> TableKind {
    match policy {
        BalancePolicy::RoundRobin
        | BalancePolicy::LeastRequest
        | BalancePolicy::P2cEwma
        | BalancePolicy::Random => TableKind::None,
        BalancePolicy::RingHash(_) => TableKind::Ring,
        BalancePolicy::Maglev(_) => TableKind::Maglev,
    }
}

#[cfg(test)]
mod tests;
