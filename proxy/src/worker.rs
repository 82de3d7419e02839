//! A worker: one thread, one runtime, and everything that its connections share without a lock.
//!
//! Sockets, pools, buffers, counters and the view of the current snapshot belong to the worker
//! alone. Other threads reach it by its command queue and by publishing a snapshot.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::buffer::BufferPool;
use crate::listener::{Acceptor, Bound, ListenerId};
use crate::observe::access_log::AccessLogWorker;
use crate::observe::counter::WorkerId;
use crate::scratch::{Scratch, ScratchPool};
use crate::snapshot::{HttpListener, Snapshot};
use crate::upstream::local::LocalCluster;

/// How often batched log lines leave, whatever their number.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How often idle upstream connections are looked over, in flushes.
const SWEEP_EVERY: u32 = 5;

/// What a worker may be told.
pub enum Command {
    Listen { id: ListenerId, socket: ListenSocket, open: Arc<AtomicU32> },
    /// Stop accepting on a listener and let its connections end.
    Retire(ListenerId),
    /// Retire everything; the answer comes when the last connection has ended.
    Drain(oneshot::Sender<()>),
}

/// A bound and listening socket on its way to the worker that will own it.
pub enum ListenSocket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// What a worker needs to begin.
pub struct Setup {
    pub id: WorkerId,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub log: AccessLogWorker,
    pub commands: mpsc::Receiver<Command>,
    pub seed: u64,
}

/// Runs a worker on this thread until its command queue is closed.
pub fn run(setup: impl FnOnce() -> Setup) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(61)
        .build_local(LocalOptions::default())?;
    let setup = setup();
    runtime.block_on(async move {
        let mut commands = setup.commands;
        let worker = Rc::new(Worker::new(
            setup.id,
            setup.snapshot,
            setup.log,
            fastrand::Rng::with_seed(setup.seed),
        ));
        tokio::task::spawn_local(upkeep(Rc::clone(&worker)));
        while let Some(command) = commands.recv().await {
            worker.obey(command);
        }
        worker.log.borrow_mut().flush();
    });
    Ok(())
}

/// One worker's own things, shared by the tasks of its thread.
pub struct Worker {
    id: WorkerId,
    published: RefCell<arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    current: RefCell<Rc<Current>>,
    buffers: BufferPool,
    scratch: ScratchPool,
    log: RefCell<AccessLogWorker>,
    random: RefCell<fastrand::Rng>,
    listeners: RefCell<Vec<Rc<Bound>>>,
    request_number: Cell<u64>,
}

impl Worker {
    fn new(
        id: WorkerId,
        snapshot: Arc<ArcSwap<Snapshot>>,
        log: AccessLogWorker,
        mut random: fastrand::Rng,
    ) -> Self {
        let mut published = arc_swap::Cache::new(snapshot);
        let first = Current::build(Arc::clone(published.load()), None, &mut random);
        Self {
            id,
            published: RefCell::new(published),
            current: RefCell::new(Rc::new(first)),
            buffers: BufferPool::default(),
            scratch: ScratchPool::default(),
            log: RefCell::new(log),
            random: RefCell::new(random),
            listeners: RefCell::default(),
            request_number: Cell::new(0),
        }
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
            *current =
                Rc::new(Current::build(Arc::clone(latest), Some(&current), &mut random));
        }
        Rc::clone(&current)
    }

    pub fn buffers(&self) -> &BufferPool {
        &self.buffers
    }

    pub fn scratch(&self) -> Scratch {
        self.scratch.take()
    }

    pub fn log(&self) -> &RefCell<AccessLogWorker> {
        &self.log
    }

    pub fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Listen { id, socket, open } => {
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
                        let bound = Rc::new(Bound::new(id, open));
                        self.listeners.borrow_mut().push(Rc::clone(&bound));
                        let worker = Rc::clone(self);
                        tokio::task::spawn_local(crate::listener::accept(worker, bound, acceptor));
                    }
                    Err(error) => tracing::error!(%error, "a socket could not be registered"),
                }
            }
            Command::Retire(id) => self.listeners.borrow_mut().retain(|bound| {
                if bound.id == id {
                    bound.retire();
                }
                bound.id != id
            }),
            Command::Drain(done) => {
                let retired = std::mem::take(&mut *self.listeners.borrow_mut());
                for bound in &retired {
                    bound.retire();
                }
                tokio::task::spawn_local(drained(Rc::clone(self), retired, done));
            }
        }
    }
}

/// Answers once the connections of all retired listeners have ended.
async fn drained(worker: Rc<Worker>, retired: Vec<Rc<Bound>>, done: oneshot::Sender<()>) {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    // Two looks in a row: what was queued at the socket is accepted in between.
    let mut quiet = 0;
    let mut ticks = interval(LOOK_EVERY);
    while quiet < 2 {
        ticks.tick().await;
        let open: usize = retired.iter().map(|bound| bound.active()).sum();
        quiet = if open == 0 { quiet + 1 } else { 0 };
    }
    worker.log.borrow_mut().flush();
    // Whoever asked may have run out of patience.
    let _ = done.send(());
}

/// The slow work of a worker: log batches leave, idle upstream connections are closed.
async fn upkeep(worker: Rc<Worker>) {
    let mut ticks = interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_sweep = SWEEP_EVERY;
    loop {
        ticks.tick().await;
        worker.log.borrow_mut().flush();
        until_sweep -= 1;
        if until_sweep == 0 {
            until_sweep = SWEEP_EVERY;
            let now = Instant::now();
            for cluster in &worker.current().clusters {
                cluster.sweep(now);
            }
        }
    }
}

/// The published snapshot with this worker's share of its state.
pub struct Current {
    pub snapshot: Arc<Snapshot>,
    /// By upstream index, like the snapshot's clusters.
    pub clusters: Vec<Rc<LocalCluster>>,
}

impl Current {
    fn build(snapshot: Arc<Snapshot>, previous: Option<&Current>, rng: &mut fastrand::Rng) -> Self {
        let clusters = snapshot
            .clusters
            .iter()
            .map(|cluster| {
                let known = previous.and_then(|previous| {
                    previous.clusters.iter().find(|local| local.serves(cluster))
                });
                match known {
                    Some(local) => Rc::new(local.renewed(Arc::clone(cluster))),
                    None => Rc::new(LocalCluster::new(Arc::clone(cluster), rng.u64(..))),
                }
            })
            .collect();
        Self { snapshot, clusters }
    }

    /// The http listener, unless this generation has it no more.
    pub fn listener(&self, id: ListenerId) -> Option<&Arc<HttpListener>> {
        self.snapshot.listeners.iter().find(|listener| listener.id == id)
    }
}
