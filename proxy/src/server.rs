//! The process: workers on their threads, control on this one, from the first socket to the last
//! response.

mod control;
mod thread;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_config::model::{Config, ListenAddress, Workers};
use prometheus::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::control::apply::{Publisher, prepare, send_command};
use crate::control::book::AddressBook;
use crate::control::expiry;
use crate::control::retired::Retired;
use crate::control::signals::Signals;
use crate::idle_trim::GiveBack;
use crate::memory;
use crate::observe::access_log::{AccessLog, OpenSink};
use crate::observe::counter::WorkerId;
use crate::observe::metrics::Metrics;
use crate::offload::Offload;
use crate::snapshot::Snapshot;
use crate::upstream::discovery::{Discovery, SystemResolver};
use crate::worker::{Command, Setup};
use crate::world::WorldError;

pub use control::{Control, ShutdownOutcome};

/// Commands that may wait for a worker.
const COMMANDS: usize = 64;
/// How long a start waits for names to resolve. Later ones resolve while the process serves.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(2);

/// How long the shutdown waits for the access log to be written.
const LOG_PATIENCE: Duration = Duration::from_millis(700);
/// How long after the drain timeout the workers may report the result.
const ANSWER_PATIENCE: Duration = Duration::from_millis(200);

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This machine does not have what the configuration needs.
    #[error("the configuration cannot be served")]
    World(Vec<WorldError>),
    #[error("{what}: {error}")]
    System { what: &'static str, error: io::Error },
    #[error("the name resolver cannot be set up: {0}")]
    Resolver(String),
    #[error("the metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    fn of_signals(error: io::Error) -> Self {
        Self::System { what: "a signal handler", error }
    }
}

/// A bound server, before it runs.
pub struct Server {
    pub publisher: Publisher,
    pub registry: Registry,
    pub(crate) signals: Option<Signals>,
    pub(crate) give_back: GiveBack,
    threads: Vec<JoinHandle<()>>,
    _watches: [AbortOnDropHandle<()>; 2],
}

impl Server {
    /// [`Server::start_with`] without a hook that returns memory to the system.
    pub async fn start(config: Arc<Config>) -> Result<Self, StartError> {
        Self::start_with(config, || {}).await
    }

    /// Binds, starts the workers and publishes the first generation. Call it on the control runtime,
    /// which must outlive the server.
    pub async fn start_with(config: Arc<Config>, give_back: GiveBack) -> Result<Self, StartError> {
        let signals = Some(Signals::install().map_err(StartError::of_signals)?);
        crate::tls::install_provider();
        crate::descriptors::raise_limit();
        let count = worker_count(config.workers);
        let registry = Registry::new();
        let metrics = Metrics::new(count, &registry)?;
        let mut book = AddressBook::default();
        let mut first =
            prepare(Arc::clone(&config), None, &mut book, &metrics).map_err(StartError::World)?;
        let sink = first.log.take().map_or_else(|| OpenSink::open(&config.access_log.sink), Ok);
        let sink = sink.map_err(|error| StartError::World(vec![error]))?;
        let log = AccessLog::start(sink, metrics.access_log())
            .map_err(|error| StartError::System { what: "the access log", error })?;
        let resolver = SystemResolver::from_system()
            .map_err(|error| StartError::Resolver(error.to_string()))?;
        let handle = tokio::runtime::Handle::current();
        let mut random = fastrand::Rng::new();
        let discovery = Discovery::new(Arc::new(resolver), handle, random.u64(..));
        for upstream in &first.snapshot.upstreams {
            discovery.spawn(&upstream.cluster);
        }
        resolved(&first.snapshot).await;

        let nothing = Snapshot::nothing(config, &metrics);
        let published = Arc::new(ArcSwap::from_pointee(nothing));
        let offload = Offload::start(count.div_ceil(2))
            .map_err(|error| StartError::System { what: "threads for long work", error })?;
        let mut workers = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let id = WorkerId(index);
            let (sender, commands) = mpsc::channel(COMMANDS);
            let setup = Setup {
                id,
                snapshot: Arc::clone(&published),
                metrics: Arc::clone(&metrics),
                log: log.worker(id, random.u64(..)),
                seed: random.u64(..),
                offload: offload.clone(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    if let Err(error) = thread::run(setup, commands, give_back) {
                        tracing::error!(%error, "a worker could not start");
                    }
                })
                .map_err(|error| StartError::System { what: "a worker's thread", error })?;
            workers.push(sender);
            threads.push(thread);
        }
        let mut publisher = Publisher {
            published,
            metrics,
            log: Arc::new(log),
            discovery,
            book,
            workers,
            retired: Retired::default(),
            certificates_changed: Arc::default(),
        };
        publisher.publish(first).await;
        let memory = Arc::clone(publisher.metrics.memory());
        let published = Arc::clone(&publisher.published);
        let watch = memory::watch(memory, move || *published.load().config.limits.memory);
        let watch = AbortOnDropHandle::new(tokio::spawn(watch));
        let published = Arc::clone(&publisher.published);
        let changed = Arc::clone(&publisher.certificates_changed);
        let expiry = AbortOnDropHandle::new(tokio::spawn(expiry::watch(published, changed)));
        let watches = [watch, expiry];
        Ok(Self { publisher, registry, signals, give_back, threads, _watches: watches })
    }

    /// The bound addresses of the listeners and the admin API, by name.
    pub fn addresses(&self) -> Vec<(String, ListenAddress)> {
        self.publisher.addresses()
    }

    /// Stops accepting and waits for requests in flight: at most `patience`, and not after `enough`.
    /// Then ends the workers. True if nothing was cut off.
    pub async fn drain(&mut self, patience: Duration, enough: impl Future<Output = ()>) -> bool {
        self.publisher.metrics.set_draining();
        let mut answers = Vec::new();
        for worker in &self.publisher.workers {
            let (done, answer) = oneshot::channel();
            send_command(worker, Command::Drain { patience, done }).await;
            answers.push(answer);
        }
        let all = async {
            let mut whole = true;
            for answer in answers {
                // A worker that has ended has no request in flight.
                whole &= answer.await.unwrap_or(true);
            }
            whole
        };
        let whole = tokio::select! {
            whole = timeout(patience + ANSWER_PATIENCE, all) => whole.unwrap_or(false),
            () = enough => false,
        };
        self.stop().await;
        whole
    }

    /// Ends the workers and writes the rest of the access log.
    async fn stop(&mut self) {
        self.publisher.workers.clear();
        self.publisher.book.forget();
        let threads = std::mem::take(&mut self.threads);
        let log = Arc::clone(&self.publisher.log);
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a worker has panicked");
                }
            }
            if let Err(error) = log.finish(std::time::Instant::now() + LOG_PATIENCE) {
                tracing::error!(%error);
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the end was not clean");
        }
    }
}

/// Waits briefly for the first answers of the name servers.
async fn resolved(snapshot: &Snapshot) {
    let all = async {
        for upstream in &snapshot.upstreams {
            upstream.cluster.ready().await;
        }
    };
    if timeout(RESOLVE_PATIENCE, all).await.is_err() {
        for upstream in snapshot.upstreams.iter().filter(|it| !it.cluster.is_ready()) {
            tracing::warn!(upstream = &*upstream.name, "serving before its names are resolved");
        }
    }
}

fn worker_count(workers: Workers) -> usize {
    match workers {
        Workers::Count(count) => count.get(),
        Workers::Auto => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

#[cfg(test)]
mod tests;
