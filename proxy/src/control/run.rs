//! The control loop: signals, changed files and requests of the admin API, one after another.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::Shared;
use crate::control::reload::{LastReload, Reloader, Trigger, renew_certificates};
use crate::control::watch::Watcher;
use crate::server::{Server, StartError};

/// Requests of the admin API that may wait.
const REQUESTS: usize = 16;
/// How often certificates are looked at although no file was seen to change: self-signed ones
/// grow old, and some file systems do not tell.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// What the control loop may be asked.
pub enum Request {
    Reload(oneshot::Sender<LastReload>),
    Drain,
}

/// How the others reach the control loop, and what it last did.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    pub last: Arc<ArcSwap<LastReload>>,
}

/// The loop is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process is ending")]
pub struct Ending;

impl Handle {
    /// A handle, and what is asked through it.
    pub(crate) fn channel(generation: u64) -> (Self, mpsc::Receiver<Request>) {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let last = LastReload { generation, ..LastReload::default() };
        (Self { requests: sender, last: Arc::new(ArcSwap::from_pointee(last)) }, requests)
    }

    pub async fn reload(&self) -> Result<LastReload, Ending> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(Request::Reload(sender)).await.map_err(|_| Ending)?;
        answer.await.map_err(|_| Ending)
    }

    pub async fn drain(&self) -> Result<(), Ending> {
        self.requests.send(Request::Drain).await.map_err(|_| Ending)
    }
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing was cut off.
    Drained,
    /// The drain timeout came first, or a second signal.
    Cut,
}

pub struct Control {
    server: Server,
    reloader: Reloader,
    requests: mpsc::Receiver<Request>,
    handle: Handle,
    shared: Arc<Shared>,
    signals: Signals,
}

struct Signals {
    hangup: Signal,
    reopen: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Control {
    pub fn new(server: Server, reloader: Reloader) -> Result<Self, StartError> {
        let of = |kind| {
            signal(kind).map_err(|error| StartError::System { what: "a signal handler", error })
        };
        let signals = Signals {
            hangup: of(SignalKind::hangup())?,
            reopen: of(SignalKind::user_defined1())?,
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        };
        let publisher = &server.publisher;
        let (handle, requests) = Handle::channel(publisher.published.load().generation);
        let shared = Shared::new(
            Arc::clone(&publisher.published),
            Arc::clone(&publisher.metrics),
            server.registry.clone(),
            handle.clone(),
        );
        Ok(Self { server, reloader, requests, handle, shared, signals })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until a signal or the admin API asks for the end.
    pub async fn run(mut self) -> End {
        self.answer();
        let (changed, mut changes) = mpsc::channel(1);
        let mut watcher = Watcher::new(changed)
            .inspect_err(|error| tracing::error!(%error, "changed files go unnoticed"))
            .ok();
        let mut renewal = interval(RENEW_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewal.reset();
        loop {
            self.follow(watcher.as_mut());
            let trigger = tokio::select! {
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.reopen.recv() => {
                    if let Err(error) = self.server.publisher.log.reopen() {
                        tracing::error!(%error, "the access log could not be opened again");
                    }
                    continue;
                }
                _ = renewal.tick() => {
                    renew_certificates(&self.server.publisher).await;
                    continue;
                }
                _ = self.signals.hangup.recv() => Some((Trigger::Asked, None)),
                Some(()) = changes.recv() => Some((Trigger::Noticed, None)),
                request = self.requests.recv() => match request {
                    Some(Request::Reload(answer)) => Some((Trigger::Asked, Some(answer))),
                    Some(Request::Drain) | None => None,
                },
            };
            let Some((trigger, answer)) = trigger else { break };
            renew_certificates(&self.server.publisher).await;
            let before = self.server.publisher.published.load().generation;
            let last = self.reloader.reload(&mut self.server.publisher, trigger).await;
            self.handle.last.store(Arc::new(last.clone()));
            if last.generation != before {
                self.answer();
            }
            if let Some(answer) = answer {
                // Whoever asked may have gone.
                let _ = answer.send(last);
            }
        }
        self.end().await
    }

    /// Answers at the status and admin addresses of the generation that serves.
    fn answer(&mut self) {
        self.shared.set_bound(self.server.addresses());
        self.server.publisher.book.control.serve(&self.shared);
    }

    fn follow(&self, watcher: Option<&mut Watcher>) {
        let Some(watcher) = watcher else { return };
        let snapshot = self.server.publisher.published.load();
        let config = self.reloader.config_path();
        let servers = snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let clients = snapshot.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
        let certificates = servers
            .flat_map(|tls| tls.watched_files())
            .chain(clients.flat_map(|tls| tls.watched_files()));
        watcher.follow(std::iter::once(&config).chain(certificates).map(AsRef::as_ref));
    }

    async fn end(mut self) -> End {
        // Status listeners and the admin API answer to the last; who asks for more is told.
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        let config = Arc::clone(&self.server.publisher.published.load().config);
        let patience = *config.shutdown.drain_timeout;
        tracing::info!(?patience, "draining");
        let Signals { terminate, interrupt, .. } = &mut self.signals;
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        tokio::select! {
            complete = self.server.drain(patience) => {
                if complete { End::Drained } else { End::Cut }
            }
            () = again => End::Cut,
        }
    }
}
