//! A worker: one thread, one runtime, and everything that its connections share without a lock.
//!
//! Sockets, pools, buffers, counters and the view of the current snapshot belong to the worker
//! alone. Other threads reach it by its command queue and by publishing a snapshot.

mod stream_route;
mod tunnels;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Handle, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::buffer::BufferPool;
use crate::crowd::{Crowd, Inbox};
use crate::drain::Registration;
use crate::ebb::{Afoot, Ebb, GiveBack};
use crate::listener::{Acceptor, Bound};
use crate::memory::{Level, Memory, Young, YoungOne};
use crate::observe::access_log::AccessLogWorker;
use crate::observe::clock::Clock;
use crate::observe::counter::WorkerId;
use crate::observe::metrics::Metrics;
use crate::pipe::PipePool;
use crate::scratch::{Scratch, ScratchPool};
use crate::snapshot::stream::StreamListener;
use crate::snapshot::{HttpListener, Live, Snapshot};
use crate::sockets::{ListenSocket, ListenerId};
use crate::upstream::local::LocalUpstream;
use stream_route::LocalRoute;
use tunnels::Tunnels;

/// How often batched log lines leave, whatever their number.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How often idle upstream connections and clients' certificates are looked over, in flushes.
const SWEEP_EVERY: u32 = 5;
/// How long a connection may stand still while requests are refused, in flushes.
const STILL: u8 = 10;
/// How long a draining connection may still begin a request.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What a worker may be told.
pub enum Command {
    Listen {
        id: ListenerId,
        socket: ListenSocket,
        /// What other workers have accepted for this one.
        inbox: Inbox,
        crowd: Arc<Crowd>,
        /// The generation that brings it.
        snapshot: Arc<Snapshot>,
    },
    /// Stop accepting on a listener and let its connections end.
    Retire(ListenerId),
    /// Retire everything. The answer comes when the last connection has ended, or when patience
    /// has; it says whether nothing was left unsaid.
    Drain { patience: Duration, done: oneshot::Sender<bool> },
}

/// What a worker needs to begin.
pub struct Setup {
    pub id: WorkerId,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub metrics: Arc<Metrics>,
    pub log: AccessLogWorker,
    pub commands: mpsc::Receiver<Command>,
    pub seed: u64,
    pub give_back: GiveBack,
}

/// Runs a worker on this thread until its command queue is closed.
pub fn run(setup: Setup) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(61)
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let give_back = setup.give_back;
        let (worker, mut commands) = Worker::new(setup);
        tokio::task::spawn_local(upkeep(Rc::clone(&worker), give_back));
        while let Some(command) = commands.recv().await {
            worker.obey(command);
        }
        worker.log.flush();
    });
    Ok(())
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
    young: Young,
    log: AccessLogWorker,
    clock: Clock,
    metrics: Arc<Metrics>,
    random: RefCell<fastrand::Rng>,
    /// Those that accept, and retired ones until their last connection has ended.
    listeners: RefCell<Vec<Rc<Bound>>>,
}

impl Worker {
    fn new(setup: Setup) -> (Rc<Self>, mpsc::Receiver<Command>) {
        let Setup { id, snapshot, metrics, log, commands, seed, .. } = setup;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut published = arc_swap::Cache::new(snapshot);
        let maker = Maker { metrics: &metrics, worker: id };
        let first = maker.make(Arc::clone(published.load()), None, &mut random);
        let worker = Self {
            id,
            clock: Clock::system(),
            published: RefCell::new(published),
            current: RefCell::new(Rc::new(first)),
            buffers: BufferPool::default(),
            pipes: PipePool::default(),
            tunnels: Tunnels::default(),
            scratch: ScratchPool::default(),
            young: Young::default(),
            log,
            random: RefCell::new(random),
            listeners: RefCell::default(),
            metrics,
        };
        (Rc::new(worker), commands)
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
            let maker = Maker { metrics: &self.metrics, worker: self.id };
            let next = Rc::new(maker.make(Arc::clone(latest), Some(&current), &mut random));
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

    /// Looks at the generation of a new listener although nobody has come yet: it may be the only
    /// one that has it, and serves those who come until it is closed.
    fn see(&self, bound: &Bound, snapshot: Arc<Snapshot>) {
        if self.current().live(bound.id).is_none() {
            let maker = Maker { metrics: &self.metrics, worker: self.id };
            let gone = maker.make(snapshot, None, &mut self.random.borrow_mut());
            *bound.last.borrow_mut() = Some(Rc::new(gone));
        }
    }

    /// Looks over each listener: clients that were revoked since go, and one that has left its
    /// limit says so.
    fn look_over_listeners(&self) {
        for bound in &*self.listeners.borrow() {
            let current = self.current_of(bound);
            let Some(live) = current.live(bound.id) else { continue };
            bound.tell_recovery(&live);
            if let Some(tls) = live.tls() {
                bound.dismiss_revoked(tls);
            }
        }
    }

    pub fn buffers(&self) -> &BufferPool {
        &self.buffers
    }

    pub fn pipes(&self) -> &PipePool {
        &self.pipes
    }

    /// A WebSocket connection through a route of that generation.
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

    /// A request begins.
    pub fn young(&self) -> YoungOne<'_> {
        self.young.begin()
    }

    /// Whether no request is to be taken in: the one that asks is refused then, and counted. What
    /// the other workers have begun is not looked up: as much as here.
    pub fn is_full(&self) -> bool {
        let young = u64::from(self.young.count()) * self.metrics.workers() as u64;
        let is_full = self.memory().is_full(young);
        if is_full {
            self.memory().count_refused();
        }
        is_full
    }

    /// Gives way while memory is short: nothing is kept that is not in use, and whoever stands
    /// still is cut, the sooner the less there is.
    fn give_way(&self, give_back: GiveBack) {
        let level = self.memory().level();
        let mut shed = 0;
        for bound in &*self.listeners.borrow() {
            bound.connections.press(level > Level::Enough);
            shed += match level {
                Level::Enough | Level::Tight => 0,
                // Nobody is served any more: what they hold is worth more than their patience.
                Level::Full => bound.connections.shed(STILL),
                Level::Over => bound.connections.shed(1),
            };
        }
        if shed > 0 {
            self.memory().count_cut(shed);
        }
        if level > Level::Enough {
            self.buffers.clear();
            // Even while there is work: there will be none without memory.
            give_back();
        }
        self.young.turn();
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

    fn afoot(&self) -> Afoot {
        let upstreams = &self.current.borrow().upstreams;
        Afoot {
            kept: self.buffers.kept() + self.scratch.kept(),
            tasks: Handle::current().metrics().num_alive_tasks(),
            idle: upstreams.iter().map(|upstream| upstream.idle_count()).sum(),
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Listen { id, socket, inbox, crowd, snapshot } => {
                let acceptor = match socket {
                    ListenSocket::Tcp(socket) => {
                        tokio::net::TcpListener::from_std(socket).map(Acceptor::Tcp)
                    }
                    ListenSocket::Unix(socket) => {
                        tokio::net::UnixListener::from_std(socket).map(Acceptor::Unix)
                    }
                };
                match acceptor {
                    Ok(acceptor) => {
                        let bound = Rc::new(Bound::new(id, crowd));
                        self.listeners.borrow_mut().push(Rc::clone(&bound));
                        self.see(&bound, snapshot);
                        let worker = Rc::clone(self);
                        tokio::task::spawn_local(crate::listener::accept(
                            worker, bound, acceptor, inbox,
                        ));
                    }
                    Err(error) => tracing::error!(%error, "a socket could not be registered"),
                }
            }
            Command::Retire(id) => {
                // The generation without it was published before; the one before it is kept.
                self.current();
                for bound in self.listeners.borrow().iter().filter(|bound| bound.id == id) {
                    bound.retire(DRAIN_GRACE);
                }
            }
            Command::Drain { patience, done } => {
                let grace = DRAIN_GRACE.min(patience / 2);
                for bound in &*self.listeners.borrow() {
                    bound.connections.limit(patience);
                    bound.retire(grace);
                }
                tokio::task::spawn_local(drained(Rc::clone(self), patience, done));
            }
        }
    }
}

/// Answers once the connections of all listeners have ended, or at the end of patience.
async fn drained(worker: Rc<Worker>, patience: Duration, done: oneshot::Sender<bool>) {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let patience = Instant::now() + patience;
    let mut ticks = interval(LOOK_EVERY);
    let whole = loop {
        ticks.tick().await;
        let listeners = worker.listeners.borrow();
        if listeners.iter().all(|bound| bound.has_ended()) {
            break true;
        }
        if Instant::now() >= patience {
            break listeners.iter().all(|bound| bound.has_said_everything());
        }
    };
    worker.log.flush();
    // Whoever asked may have been told to end at once.
    let _ = done.send(whole);
}

/// The slow work of a worker: log batches leave, idle upstream connections are closed, and those
/// of revoked clients; memory is given back when there is no other work.
async fn upkeep(worker: Rc<Worker>, give_back: GiveBack) {
    let mut ebb = Ebb::default();
    let mut ticks = interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_sweep = SWEEP_EVERY;
    loop {
        ticks.tick().await;
        worker.log.flush();
        worker.give_way(give_back);
        worker.buffers.trim();
        worker.pipes.trim();
        worker.scratch.trim();
        until_sweep -= 1;
        if until_sweep == 0 {
            until_sweep = SWEEP_EVERY;
            let now = Instant::now();
            for upstream in &worker.current().upstreams {
                upstream.sweep(now);
            }
            worker.look_over_listeners();
            worker.listeners.borrow_mut().retain(|bound| !bound.has_ended());
        }
        if ebb.look(worker.afoot()) {
            worker.listeners.borrow().iter().for_each(|bound| bound.connections.shrink());
            give_back();
        }
    }
}

/// The published snapshot with this worker's share of its state.
pub struct Current {
    pub snapshot: Arc<Snapshot>,
    /// By upstream index, like the snapshot's.
    pub upstreams: Vec<Rc<LocalUpstream>>,
    /// By their index in the snapshot.
    pub stream_routes: Vec<Rc<LocalRoute>>,
}

impl Current {
    /// The http listener, unless this generation has it no more.
    pub fn listener(&self, id: ListenerId) -> Option<&Arc<HttpListener>> {
        self.snapshot.listeners.iter().find(|listener| listener.id == id)
    }

    /// The same of a listener whose connections become tunnels.
    pub fn stream(&self, id: ListenerId) -> Option<&Arc<StreamListener>> {
        self.snapshot.streams.iter().find(|listener| listener.id == id)
    }

    /// The listener of either kind.
    pub fn live(&self, id: ListenerId) -> Option<Live> {
        let http = self.listener(id).map(|listener| Live::Http(Arc::clone(listener)));
        http.or_else(|| self.stream(id).map(|listener| Live::Stream(Arc::clone(listener))))
    }
}

/// Makes a worker's view of a snapshot.
struct Maker<'a> {
    metrics: &'a Arc<Metrics>,
    worker: WorkerId,
}

impl Maker<'_> {
    /// What `previous` has learnt of an upstream goes on under the same name.
    fn make(
        &self,
        snapshot: Arc<Snapshot>,
        previous: Option<&Current>,
        random: &mut fastrand::Rng,
    ) -> Current {
        let known: std::collections::HashMap<_, _> = previous
            .into_iter()
            .flat_map(|previous| &previous.upstreams)
            .map(|local| (&local.live.name, local))
            .collect();
        let upstreams = snapshot.upstreams.iter().map(|live| {
            let live = Arc::clone(live);
            Rc::new(match known.get(&live.name) {
                Some(local) => local.succeed(live),
                None => {
                    LocalUpstream::new(live, Arc::clone(self.metrics), self.worker, random.u64(..))
                }
            })
        });
        let upstreams = upstreams.collect();
        let known = previous.map_or(&[][..], |previous| &previous.stream_routes);
        let stream_routes = LocalRoute::succeed(known, &snapshot.stream_routes);
        Current { snapshot, upstreams, stream_routes }
    }
}

#[cfg(test)]
mod tests;
