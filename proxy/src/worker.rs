//! A worker's own state: everything that the connections of one thread share without a lock.
//!
//! Pools, buffers, counters, listeners and the view of the current snapshot belong to one worker.
//! Other threads reach it by a [`Command`] or by publishing a snapshot. This module knows neither
//! the accept loop nor what runs on a connection. `server` starts the thread.

mod bound;
mod command;
mod current;
mod ending;
mod stream_route;
mod tunnels;
mod upkeep;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::buffer::BufferPool;
use crate::connection_balance::ConnectionBalancer;
use crate::drain::Registration;
use crate::memory::{Memory, RecentRequest, RecentRequests};
use crate::observe::access_log::AccessLogWorker;
use crate::observe::clock::Clock;
use crate::observe::counter::WorkerId;
use crate::observe::metrics::Metrics;
use crate::offload::Offload;
use crate::pipe::PipePool;
use crate::scratch::{Scratch, ScratchPool};
use crate::snapshot::Snapshot;
use crate::sockets::ListenerId;
use current::CurrentBuilder;
use stream_route::LocalRoute;
use tunnels::Tunnels;

pub use bound::Bound;
pub use command::Command;
pub use current::Current;
pub(crate) use upkeep::upkeep;

/// What a worker needs to begin.
pub struct Setup {
    pub id: WorkerId,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub metrics: Arc<Metrics>,
    pub log: AccessLogWorker,
    pub seed: u64,
    pub offload: Offload,
}

/// One worker's own things, shared by the tasks of its thread.
pub struct Worker {
    id: WorkerId,
    published: RefCell<arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    current: RefCell<Rc<Current>>,
    buffers: BufferPool,
    pipes: PipePool,
    tunnels: Tunnels,
    scratch: ScratchPool,
    recent_requests: RecentRequests,
    log: AccessLogWorker,
    clock: Clock,
    metrics: Arc<Metrics>,
    random: RefCell<fastrand::Rng>,
    offload: Offload,
    /// Accepting listeners, and retired ones until their last connection has ended.
    listeners: RefCell<Vec<Rc<Bound>>>,
}

impl Worker {
    pub(crate) fn new(setup: Setup) -> Rc<Self> {
        let Setup { id, snapshot, metrics, log, seed, offload } = setup;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut published = arc_swap::Cache::new(snapshot);
        let builder = CurrentBuilder { metrics: &metrics, worker: id };
        let first = builder.build(Arc::clone(published.load()), None, &mut random);
        Rc::new(Self {
            id,
            clock: Clock::system(),
            published: RefCell::new(published),
            current: RefCell::new(Rc::new(first)),
            buffers: BufferPool::default(),
            pipes: PipePool::default(),
            tunnels: Tunnels::default(),
            scratch: ScratchPool::default(),
            recent_requests: RecentRequests::default(),
            log,
            random: RefCell::new(random),
            offload,
            listeners: RefCell::default(),
            metrics,
        })
    }

    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// The newest published generation, as this worker sees it.
    pub fn current(&self) -> Rc<Current> {
        let mut published = self.published.borrow_mut();
        let latest = published.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(latest, &current.snapshot) {
            let mut random = self.random.borrow_mut();
            let builder = CurrentBuilder { metrics: &self.metrics, worker: self.id };
            let next = Rc::new(builder.build(Arc::clone(latest), Some(&current), &mut random));
            let before = std::mem::replace(&mut *current, next);
            for bound in &*self.listeners.borrow() {
                if current.live(bound.id).is_none() && before.live(bound.id).is_some() {
                    *bound.last.borrow_mut() = Some(Rc::clone(&before));
                }
            }
            LocalRoute::end_missing(&before.stream_routes, &current.stream_routes);
            self.tunnels.settle(current.snapshot.forwarding());
        }
        Rc::clone(&current)
    }

    /// The newest generation that has this listener: its connections are served to their end.
    pub fn current_of(&self, bound: &Bound) -> Rc<Current> {
        let current = self.current();
        match &*bound.last.borrow() {
            Some(last) => Rc::clone(last),
            None => current,
        }
    }

    /// Adds a listener that `snapshot` introduces. The accept loop keeps the returned handle.
    pub(crate) fn listen(
        &self,
        id: ListenerId,
        balancer: Arc<ConnectionBalancer>,
        snapshot: Arc<Snapshot>,
    ) -> Rc<Bound> {
        let bound = Rc::new(Bound::new(id, balancer));
        self.listeners.borrow_mut().push(Rc::clone(&bound));
        self.see(&bound, snapshot);
        bound
    }

    /// Keeps the generation of a new listener before its first connection: no other generation may
    /// have this listener, and its connections are served by this one until it is closed.
    fn see(&self, bound: &Bound, snapshot: Arc<Snapshot>) {
        if self.current().live(bound.id).is_none() {
            let builder = CurrentBuilder { metrics: &self.metrics, worker: self.id };
            let gone = builder.build(snapshot, None, &mut self.random.borrow_mut());
            *bound.last.borrow_mut() = Some(Rc::new(gone));
        }
    }

    pub fn buffers(&self) -> &BufferPool {
        &self.buffers
    }

    pub fn pipes(&self) -> &PipePool {
        &self.pipes
    }

    /// Registers a WebSocket tunnel through a route of that generation.
    pub fn enter_tunnel(&self, generation: u64, route: &str) -> Registration {
        let newest = &self.current().snapshot;
        if newest.generation != generation && !newest.forwarding().any(|name| name == route) {
            return Tunnels::enter_gone();
        }
        self.tunnels.enter(route)
    }

    pub fn scratch(&self) -> Scratch {
        self.scratch.take()
    }

    pub fn memory(&self) -> &Memory {
        self.metrics.memory()
    }

    /// Counts a request that begins.
    pub fn recent_requests(&self) -> RecentRequest<'_> {
        self.recent_requests.begin()
    }

    /// Whether new requests must be refused because memory is full. The other workers are assumed
    /// to have begun as many requests as this one. The caller counts a refused request with
    /// [`Memory::count_refused`].
    pub fn is_full(&self) -> bool {
        let recent_requests =
            u64::from(self.recent_requests.count()) * self.metrics.workers() as u64;
        self.memory().is_full(recent_requests)
    }

    /// Threads for work that would block the worker.
    pub fn offload(&self) -> &Offload {
        &self.offload
    }

    pub fn log(&self) -> &AccessLogWorker {
        &self.log
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn random_128(&self) -> u128 {
        self.random.borrow_mut().u128(..)
    }

    pub fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }
}

#[cfg(test)]
mod tests;
