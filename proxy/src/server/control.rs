//! The control loop: signals, changed files and requests of the admin API, one after another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Server, StartError};
use crate::admin::Shared;
use crate::admin::handle::{ControlRequest, Handle};
use crate::control::fingerprint::of_versions;
use crate::control::reload::{Reloader, Trigger, renew_certificates};
use crate::control::signals::Signals;
use crate::control::watch::Watcher;

/// How often self-signed certificates are checked: they age without a change of a file.
const RENEW_EVERY: Duration = Duration::from_secs(3600);
/// How often files are checked without a reported change: some file systems report none, and a
/// replaced folder is no longer watched.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often retired generations are checked.
const RETIRE_EVERY: Duration = Duration::from_millis(100);

/// How long after the last load its memory is returned to the system.
const CALM: Duration = Duration::from_secs(1);

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownOutcome {
    /// Nothing was cut off.
    Drained,
    /// The drain timeout passed, or a second signal came.
    Cut,
}

pub struct Control {
    server: Server,
    reloader: Reloader,
    requests: mpsc::Receiver<ControlRequest>,
    handle: Handle,
    shared: Arc<Shared>,
    signals: Signals,
    /// The fingerprint of the certificate files at their last reload by this loop.
    certificates: Option<u64>,
}

impl Control {
    pub fn new(mut server: Server, reloader: Reloader) -> Result<Self, StartError> {
        let signals = match server.signals.take() {
            Some(signals) => signals,
            None => Signals::install().map_err(StartError::of_signals)?,
        };
        let publisher = &server.publisher;
        let (handle, requests) = Handle::channel(publisher.published.load().generation);
        let shared = Shared::new(
            Arc::clone(&publisher.published),
            Arc::clone(&publisher.metrics),
            server.registry.clone(),
            handle.clone(),
        );
        Ok(Self { server, reloader, requests, handle, shared, signals, certificates: None })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until a signal or the admin API asks to end.
    pub async fn run(mut self) -> ShutdownOutcome {
        self.answer();
        let (changed, mut changes) = mpsc::channel(1);
        let mut watcher = Watcher::new(changed)
            .inspect_err(|error| tracing::error!(%error, "changed files are noticed late"))
            .ok();
        let mut renewal = interval(RENEW_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewal.reset();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        let mut retire = interval(RETIRE_EVERY);
        retire.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calm_at = Some(Instant::now() + CALM);
        let signalled = loop {
            self.follow(watcher.as_mut());
            let trigger = tokio::select! {
                _ = self.signals.terminate.recv() => break Some(Instant::now()),
                _ = self.signals.interrupt.recv() => break Some(Instant::now()),
                _ = self.signals.reopen.recv() => {
                    if let Err(error) = self.server.publisher.log.reopen() {
                        tracing::error!(%error, "the access log could not be opened again");
                    }
                    continue;
                }
                _ = renewal.tick() => {
                    if !renew_certificates(&self.server.publisher).await {
                        self.certificates = None;
                    }
                    continue;
                }
                _ = retire.tick(), if !self.server.publisher.retired.is_empty() => {
                    self.server.publisher.retired.let_go();
                    continue;
                }
                () = reached(calm_at) => {
                    calm_at = None;
                    self.give_back().await;
                    continue;
                }
                _ = self.signals.hangup.recv() => Some((Trigger::Asked, None)),
                _ = look.tick() => Some((Trigger::Noticed, None)),
                Some(()) = changes.recv() => Some((Trigger::Noticed, None)),
                request = self.requests.recv() => match request {
                    Some(ControlRequest::Reload(answer)) => Some((Trigger::Asked, Some(answer))),
                    Some(ControlRequest::Drain) | None => None,
                },
            };
            let Some((trigger, answer)) = trigger else { break None };
            let certificates = Some(versions(&self.server));
            if trigger == Trigger::Asked || certificates != self.certificates {
                calm_at = Some(Instant::now() + CALM);
                let read = renew_certificates(&self.server.publisher).await;
                self.certificates = certificates.filter(|_| read);
            }
            let before = self.server.publisher.published.load().generation;
            let reloaded = self.reloader.reload(&mut self.server.publisher, trigger).await;
            let Some(last) = reloaded else { continue };
            calm_at = Some(Instant::now() + CALM);
            self.handle.last.store(Arc::new(last.clone()));
            if last.generation != before {
                self.answer();
            }
            if let Some(answer) = answer {
                // The caller may have disconnected.
                let _ = answer.send(last);
            }
        };
        self.end(signalled).await
    }

    /// Serves the status and admin addresses of the current generation.
    fn answer(&mut self) {
        self.shared.set_bound(self.server.addresses());
        self.server.publisher.book.control.serve(&self.shared);
    }

    /// Runs a build on a thread that may block.
    async fn give_back(&self) {
        let give_back = self.server.give_back;
        // It ends early only if the runtime shuts down.
        let _ = tokio::task::spawn_blocking(give_back).await;
        give_back();
    }

    fn follow(&self, watcher: Option<&mut Watcher>) {
        let Some(watcher) = watcher else { return };
        let certificates = certificates(&self.server);
        let paths = self.reloader.inputs().chain(&certificates);
        watcher.follow(paths.map(AsRef::as_ref));
    }

    async fn end(mut self, signalled: Option<Instant>) -> ShutdownOutcome {
        // Status listeners and the admin API answer to the end, and refuse further commands.
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        let config = Arc::clone(&self.server.publisher.published.load().config);
        let patience = *config.shutdown.drain_timeout;
        tracing::info!(?patience, "draining");
        let enough = self.signals.end_now(signalled);
        if self.server.drain(patience, enough).await {
            ShutdownOutcome::Drained
        } else {
            ShutdownOutcome::Cut
        }
    }
}

/// Ends at that moment; never if there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The files of all certificates and authorities in use.
fn certificates(server: &Server) -> Vec<PathBuf> {
    let snapshot = server.publisher.published.load();
    let servers = snapshot.server_tls().map(|(_, tls)| tls);
    let clients = snapshot.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
    let servers = servers.flat_map(|tls| tls.watched_files());
    let clients = clients.flat_map(|tls| tls.watched_files());
    servers.chain(clients).cloned().collect()
}

fn versions(server: &Server) -> u64 {
    of_versions(certificates(server).iter().map(AsRef::as_ref))
}
