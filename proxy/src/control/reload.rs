//! One reload: read, build off the data path, publish. If anything is wrong: report, change nothing.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_config::{Diagnostic, Loader, Outcome, Report, Sources, Stale};

use crate::admin::handle::LastReload;
use crate::control::apply::{Prepared, Publisher, prepare, report_certificates};
use crate::control::book::AddressBook;
use crate::control::fingerprint::{Fingerprint, PolicyFiles, of_configuration};
use crate::descriptors;
use crate::observe::failure::LineLimit;
use crate::observe::metrics::{Metrics, ReloadResult};
use crate::snapshot::Snapshot;
use crate::tls::Changed;
use crate::world::WorldError;

/// Reads configurations for one publisher.
pub struct Reloader {
    loader: Arc<Mutex<Loader>>,
    path: PathBuf,
    /// The fingerprint of the last read, valid or not.
    seen: Fingerprint,
    /// The files that policies name in what was read last, good or not.
    policies: PolicyFiles,
    /// Of what is said while nothing can be read.
    lines: LineLimit,
    begun: Instant,
}

/// How often the log says that no file can be read.
const REPEAT: Duration = Duration::from_secs(10);

/// Why a reload is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// By request: builds a new generation even if nothing has changed.
    Asked,
    /// A file in a watched folder has changed.
    Noticed,
}

impl Reloader {
    /// `loader` has loaded and committed what serves now.
    /// `seen` and `policies` are from before that, so that what changed meanwhile is noticed.
    pub fn new(loader: Loader, seen: Fingerprint, policies: PolicyFiles) -> Self {
        let path = loader.path().to_owned();
        Self {
            loader: Arc::new(Mutex::new(loader)),
            path,
            seen,
            policies,
            lines: LineLimit::default(),
            begun: Instant::now(),
        }
    }

    /// `None` if the change concerns no file of the configuration.
    pub async fn reload(
        &mut self,
        publisher: &mut Publisher,
        trigger: Trigger,
    ) -> Option<LastReload> {
        // Without descriptors every file would seem to be missing, and the configuration invalid.
        if let Err(error) = descriptors::spare() {
            return self.put_off(publisher, trigger, &error);
        }
        let path = self.path.clone();
        // A panic there counts as a change, and the load reports it.
        let seen = tokio::task::spawn_blocking(move || of_configuration(&path)).await.ok();
        let is_same = !self.policies.changed();
        if trigger == Trigger::Noticed && is_same && seen.as_ref() == Some(&self.seen) {
            return None;
        }
        if let Some(seen) = seen {
            self.seen = seen;
        }
        Some(self.load(publisher).await)
    }

    /// Without descriptors no file can be read, so the current configuration stays. The next check
    /// tries again.
    fn put_off(
        &self,
        publisher: &Publisher,
        trigger: Trigger,
        error: &std::io::Error,
    ) -> Option<LastReload> {
        let help = descriptors::help(error);
        let line = self.lines.admit(self.begun.elapsed(), REPEAT);
        if trigger == Trigger::Asked || line.is_some() {
            let suppressed = line.filter(|count| *count > 0);
            tracing::warn!(
                %error,
                help,
                suppressed,
                "out of descriptors: the configuration is not read, and what serves goes on"
            );
        }
        if trigger == Trigger::Noticed {
            return None;
        }
        publisher.metrics.reloaded(ReloadResult::Failure);
        Some(LastReload {
            problems: format!("out of descriptors: {error}\n{help}\n"),
            refused: true,
            ..current(publisher)
        })
    }

    async fn load(&mut self, publisher: &mut Publisher) -> LastReload {
        let loader = Arc::clone(&self.loader);
        let mut book = std::mem::take(&mut publisher.book);
        let previous = publisher.published.load_full();
        let metrics = Arc::clone(&publisher.metrics);
        let work = tokio::task::spawn_blocking(move || {
            // The book is returned after a panic too: without it no further address could be bound.
            // It is consistent, because an attempt changes only its counter.
            let attempt = AssertUnwindSafe(|| attempt(&loader, &previous, &mut book, &metrics));
            let attempted = std::panic::catch_unwind(attempt);
            (book, attempted)
        });
        let attempted = match work.await {
            Ok((book, attempted)) => {
                publisher.book = book;
                attempted.map_err(|_| "a reload panicked")
            }
            Err(_) => Err("a reload was cut off by the end"),
        };
        let (stale, policies, verdict) = match attempted {
            Ok(attempted) => attempted,
            Err(error) => {
                tracing::error!("{error}");
                publisher.metrics.reloaded(ReloadResult::Failure);
                return LastReload {
                    problems: "the reload failed".to_owned(),
                    refused: true,
                    ..current(publisher)
                };
            }
        };
        if let Some(policies) = policies {
            self.policies = policies;
        }
        publisher.metrics.set_stale_files(stale.iter().map(|stale| stale.file.as_path()));
        let mut problems = String::new();
        for stale in &stale {
            problems.push_str(&stale.report.render(&stale.sources, false));
        }
        let refused = matches!(verdict, ReloadVerdict::Refused(..));
        match verdict {
            ReloadVerdict::Good(prepared) => {
                publisher.publish(*prepared).await;
                publisher.metrics.reloaded(ReloadResult::Success);
                let generation = publisher.published.load().generation;
                tracing::info!(generation, "a new configuration serves");
            }
            ReloadVerdict::Refused(report, sources) => {
                problems.push_str(&report.render(&sources, false));
                publisher.metrics.reloaded(ReloadResult::Failure);
            }
        }
        if !problems.is_empty()
            && let Err(error) = descriptors::spare()
        {
            let help = descriptors::help(&error);
            tracing::error!(%error, help, "out of descriptors: what serves goes on\n{problems}");
            // The files were not read completely: the next check must see a change.
            self.seen.number = !self.seen.number;
        } else if !problems.is_empty() {
            tracing::error!("the last good configuration stays in force\n{problems}");
        }
        let stale = stale.into_iter().map(|stale| stale.file).collect();
        LastReload { problems, stale, refused, ..current(publisher) }
    }

    /// The paths whose changes matter, beyond the certificates.
    pub fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.path).chain(&self.seen.referenced).chain(&self.policies.files)
    }
}

enum ReloadVerdict {
    Good(Box<Prepared>),
    Refused(Report, Sources),
}

fn attempt(
    loader: &Mutex<Loader>,
    previous: &Snapshot,
    book: &mut AddressBook,
    metrics: &Arc<Metrics>,
) -> (Vec<Stale>, Option<PolicyFiles>, ReloadVerdict) {
    let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
    let Outcome { result, stale } = loader.load();
    // Before they are read.
    let policies = result.as_ref().ok().map(|loaded| PolicyFiles::of(&loaded.config));
    let verdict = match result {
        Err(failed) => ReloadVerdict::Refused(failed.report, failed.sources),
        Ok(loaded) => match prepare(Arc::new(loaded.config), Some(previous), book, metrics) {
            Ok(prepared) => {
                loader.commit();
                ReloadVerdict::Good(Box::new(prepared))
            }
            Err(faults) => ReloadVerdict::Refused(report(&faults), loaded.sources),
        },
    };
    (stale, policies, verdict)
}

fn current(publisher: &Publisher) -> LastReload {
    let generation = publisher.published.load().generation;
    LastReload { generation, ..LastReload::default() }
}

/// Reloads certificates, listener by listener and upstream by upstream, each with its own
/// generation. If a file is invalid, its last valid version stays in use. False if no file could be
/// read because no descriptor is left.
pub async fn renew_certificates(publisher: &Publisher) -> bool {
    if descriptors::spare().is_err() {
        // The configuration is checked next, and reports it.
        return false;
    }
    let snapshot = publisher.published.load_full();
    let metrics = Arc::clone(&publisher.metrics);
    let work = tokio::task::spawn_blocking(move || {
        let servers = snapshot.server_tls().map(|(name, tls)| (&**name, tls.reload()));
        let clients = snapshot
            .upstreams
            .iter()
            .filter_map(|upstream| Some((&*upstream.name, upstream.tls.as_ref()?.reload())));
        for (name, result) in servers.chain(clients) {
            match result {
                Ok(Changed::No) => {}
                Ok(Changed::Yes) => tracing::info!(name, "renewed certificates serve"),
                Err(faults) => {
                    for fault in faults {
                        tracing::error!(name, %fault, "the last good certificate stays");
                    }
                }
            }
        }
        report_certificates(&metrics, &snapshot);
    });
    if let Err(error) = work.await {
        tracing::error!(%error, "the certificates could not be read");
    }
    publisher.certificates_changed.notify_one();
    true
}

/// Faults of this machine as a report, at the places in the configuration that cause them.
pub fn report(faults: &[WorldError]) -> Report {
    let mut report = Report::new();
    for fault in faults {
        let diagnostic = Diagnostic::error(fault.location.clone(), fault.message.clone());
        report.push(match &fault.help {
            Some(help) => diagnostic.help(help.clone()),
            None => diagnostic,
        });
    }
    report
}
