//! One upstream as one worker knows it: its balancer, its idle connections, its counters.
//!
//! Belongs to the worker alone. A reload renews it around the same pool, and around the same
//! balancer where it changes neither endpoints nor balancing; else around what that has learnt.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;
use tokio::time::Instant;

use crate::observe::counter::WorkerId;
use crate::observe::metrics::Metrics;
use crate::observe::series::EndpointMetrics;
use crate::upstream::acquire::Connection;
use crate::upstream::balance::{Balancer, Picked};
use crate::upstream::live::LiveUpstream;
use crate::upstream::multiplex::Multiplex;
use crate::upstream::pool::{CheckedOutCount, Pool, PooledConnection, Returned};

/// An endpoint with its counters.
pub struct LocalEndpoint {
    pub upstream: Arc<str>,
    pub metrics: Arc<EndpointMetrics>,
}

pub struct LocalUpstream {
    pub live: Arc<LiveUpstream>,
    pub balancer: Rc<Balancer>,
    pub(super) pool: Rc<Pool>,
    pub(super) checked_out: Rc<CheckedOutCount>,
    pub(super) multiplex: Rc<Multiplex>,
    endpoints: RefCell<AHashMap<u64, Rc<LocalEndpoint>>>,
    metrics: Arc<Metrics>,
    pub(super) worker: WorkerId,
}

impl LocalUpstream {
    pub fn new(
        live: Arc<LiveUpstream>,
        metrics: Arc<Metrics>,
        worker: WorkerId,
        seed: u64,
    ) -> Self {
        let keep_alive = &live.cluster.config.keep_alive;
        let pool = Pool::new(*keep_alive.max_idle, *keep_alive.idle_timeout);
        Self {
            balancer: Rc::new(Balancer::new(&live.cluster, seed)),
            pool: Rc::new(pool),
            checked_out: Rc::new(CheckedOutCount { metrics: Arc::clone(&live.metrics), worker }),
            multiplex: Rc::default(),
            endpoints: RefCell::default(),
            metrics,
            worker,
            live,
        }
    }

    /// This upstream in the next generation.
    pub fn succeed(&self, live: Arc<LiveUpstream>) -> Self {
        let keep_alive = &live.cluster.config.keep_alive;
        self.pool.configure(*keep_alive.max_idle, *keep_alive.idle_timeout);
        let incompatible =
            !live.trusts_like(&self.live) || live.cluster.config.proxy_protocol.is_some();
        if incompatible {
            // Not reused: verified by other rules, or opened without a PROXY protocol header.
            self.count_idle(|| self.pool.sweep(Instant::now(), |_| false));
        }
        let protocol = |live: &LiveUpstream| live.cluster.config.protocol;
        let multiplex = if incompatible || protocol(&live) != protocol(&self.live) {
            Rc::default()
        } else {
            Rc::clone(&self.multiplex)
        };
        let balancer = if live.cluster.balances_like(&self.live.cluster) {
            Rc::clone(&self.balancer)
        } else {
            Rc::new(self.balancer.succeed(&live.cluster))
        };
        Self {
            balancer,
            pool: Rc::clone(&self.pool),
            // The metrics of a name are the same in every generation.
            checked_out: Rc::clone(&self.checked_out),
            multiplex,
            endpoints: RefCell::new(self.endpoints.take()),
            metrics: Arc::clone(&self.metrics),
            worker: self.worker,
            live,
        }
    }

    /// The worker that this belongs to.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The counters of an endpoint, resolved when it is first seen.
    pub fn endpoint(&self, picked: &Picked) -> Rc<LocalEndpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        Rc::clone(endpoints.entry(picked.id).or_insert_with(|| {
            let name = &self.live.cluster.name;
            let address = picked.address.to_string();
            Rc::new(LocalEndpoint {
                upstream: Arc::clone(&self.live.name),
                metrics: self.metrics.endpoint(name, &address),
            })
        }))
    }

    /// Checks a connection in after a complete exchange.
    pub fn release(&self, connection: Connection, peer_timeout: Option<u32>, now: Instant) {
        let Connection::Http1(connection) = connection else { return };
        let timeout = peer_timeout.map(|seconds| std::time::Duration::from_secs(seconds.into()));
        let shard = self.live.metrics.of(self.worker);
        match self.pool.checkin(&self.live.cluster, connection, timeout, now) {
            Returned::Idle => shard.idle.add(1),
            Returned::Handed => {}
            Returned::Replaced | Returned::Closed => shard.closed.increment(),
        }
    }

    pub(super) fn checkout(&self, endpoint: u64, now: Instant) -> Option<PooledConnection> {
        let mut closed = 0;
        let connection = self.pool.checkout(endpoint, now, &mut closed);
        let taken = i64::from(closed) + i64::from(connection.is_some());
        if taken > 0 {
            let shard = self.live.metrics.of(self.worker);
            shard.idle.add(-taken);
            shard.closed.add(closed.into());
        }
        connection
    }

    pub(super) fn evict_one(&self) -> bool {
        let evicted = self.pool.evict_one();
        if evicted {
            let shard = self.live.metrics.of(self.worker);
            shard.idle.add(-1);
            shard.closed.increment();
        }
        evicted
    }

    /// Counts a connection that is not used again. A stream ends with its request and costs its
    /// connection nothing.
    pub fn discard(&self, connection: Connection) {
        if let Connection::Http1(connection) = connection {
            self.close(connection);
        }
    }

    pub(super) fn close(&self, connection: PooledConnection) {
        drop(connection);
        self.live.metrics.of(self.worker).closed.increment();
    }

    /// Closes idle connections that are old, dead, or lead to endpoints that are gone.
    pub fn sweep(&self, now: Instant) {
        let set = self.live.cluster.endpoints();
        let is_current = |id: u64| set.endpoints.iter().any(|endpoint| endpoint.id == id);
        self.count_idle(|| self.pool.sweep(now, is_current));
        let idle = *self.live.cluster.config.keep_alive.idle_timeout;
        self.multiplex.sweep(now, idle, is_current);
        // Requests of other workers may wait for permits that this worker does not need.
        let mut wanted = self.live.cluster.pending_requests();
        while wanted > 0 && !self.pool.has_waiters() && self.evict_one() {
            wanted -= 1;
        }
        self.endpoints.borrow_mut().retain(|id, _| is_current(*id));
    }

    /// Updates the gauges after `change` has modified the pool.
    fn count_idle(&self, change: impl FnOnce()) {
        let before = i64::try_from(self.pool.idle_count()).unwrap_or(i64::MAX);
        change();
        let after = i64::try_from(self.pool.idle_count()).unwrap_or(i64::MAX);
        let shard = self.live.metrics.of(self.worker);
        shard.idle.add(after - before);
        let closed = before - after;
        shard.closed.add(u64::try_from(closed).unwrap_or(0));
    }

    pub fn idle_count(&self) -> usize {
        self.pool.idle_count()
    }
}

#[cfg(test)]
mod tests;
