//! Makes a configuration the current one: build, bind, publish, command the workers.
//!
//! Everything that can fail happens before the one store that publishes; a generation that fails
//! leaves no trace.

use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_config::model::{Config, ListenAddress};
use tokio::sync::{Notify, mpsc};

use crate::admin::ControlReservation;
use crate::control::book::{AddressBook, Reservation, WithReservations};
use crate::control::expiry::expiring;
use crate::control::retired::Retired;
use crate::observe::access_log::{AccessLog, OpenSink};
use crate::observe::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::upstream::discovery::Discovery;
use crate::worker::Command;
use crate::world::WorldError;

/// Publishes snapshots. There is one in a process.
pub struct Publisher {
    pub published: Arc<ArcSwap<Snapshot>>,
    pub metrics: Arc<Metrics>,
    pub log: Arc<AccessLog>,
    pub discovery: Discovery,
    pub book: AddressBook,
    pub workers: Vec<mpsc::Sender<Command>>,
    pub retired: Retired,
    /// Notified when other certificates may be in use.
    pub certificates_changed: Arc<Notify>,
}

/// A generation that is ready but not published.
pub struct Prepared {
    pub snapshot: Snapshot,
    reservations: Vec<Reservation>,
    control_reservations: Vec<ControlReservation>,
    /// `None` when the log stays where it is.
    pub log: Option<OpenSink>,
}

/// Builds the generation after `previous`, and binds its new addresses.
pub fn prepare(
    config: Arc<Config>,
    previous: Option<&Snapshot>,
    book: &mut AddressBook,
    metrics: &Arc<Metrics>,
) -> Result<Prepared, Vec<WorldError>> {
    let mut faults = Vec::new();
    let reservations = book.reserve(&config, metrics.workers());
    let reservations = reservations.map_err(|found| faults.extend(found)).unwrap_or_default();
    let control_reservations = book.control.reserve(&config, &book.leaving(&config));
    let control_reservations =
        control_reservations.map_err(|found| faults.extend(found)).unwrap_or_default();
    let log = open_log(&config, previous).map_err(|found| faults.push(found)).unwrap_or_default();
    let addresses = WithReservations(book, &reservations);
    match Snapshot::build(config, previous, metrics, &addresses) {
        Ok(snapshot) if faults.is_empty() => {
            Ok(Prepared { snapshot, reservations, control_reservations, log })
        }
        Ok(_) => Err(faults),
        Err(mut found) => {
            found.extend(faults);
            Err(found)
        }
    }
}

/// Opens the access log. If the log in use cannot be opened again, it stays as it is, so that the
/// reload can succeed.
fn open_log(config: &Config, previous: Option<&Snapshot>) -> Result<Option<OpenSink>, WorldError> {
    let sink = &config.access_log.sink;
    match OpenSink::open(sink) {
        Ok(open) => Ok(Some(open)),
        Err(error) if previous.is_some_and(|it| it.config.access_log.sink == *sink) => {
            tracing::error!(%error, "the access log is not opened again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Publisher {
    /// Publishes: from here on new requests meet the new generation.
    pub async fn publish(&mut self, prepared: Prepared) {
        let Prepared { snapshot, reservations, control_reservations, log } = prepared;
        let config = Arc::clone(&snapshot.config);
        let generation = snapshot.generation;
        for upstream in &snapshot.upstreams {
            self.discovery.spawn(&upstream.cluster);
        }
        if let Some(Err(error)) = log.map(|open| self.log.redirect(open)) {
            tracing::error!(%error, "the access log stays where it was");
        }
        report_certificates(&self.metrics, &snapshot);
        let snapshot = Arc::new(snapshot);
        self.retired.add(self.published.swap(Arc::clone(&snapshot)));
        // Also frees earlier ones, so that they do not pile up under frequent reloads.
        self.retired.let_go();
        self.certificates_changed.notify_one();
        self.metrics.set_generation(generation);
        for reservation in &reservations {
            reservation.listen();
            let Reservation { name, bound, .. } = reservation;
            tracing::info!(listener = name, address = %bound, "listening");
        }
        for reservation in &control_reservations {
            reservation.listen();
            let ControlReservation { name, bound, .. } = reservation;
            tracing::info!(listener = name, address = %bound, "listening");
        }
        self.book.control.commit(&config, control_reservations);
        let retired = self.book.commit(&config, &reservations);
        for reservation in reservations {
            let Reservation { id, balancer, sockets, handovers, .. } = reservation;
            for (worker, (socket, handover)) in
                self.workers.iter().zip(sockets.into_iter().zip(handovers))
            {
                let (balancer, snapshot) = (Arc::clone(&balancer), Arc::clone(&snapshot));
                send_command(worker, Command::Listen { id, socket, handover, balancer, snapshot })
                    .await;
            }
        }
        for (id, address) in retired {
            tracing::info!(%address, "no longer listening");
            for worker in &self.workers {
                send_command(worker, Command::Retire(id)).await;
            }
        }
    }

    pub fn addresses(&self) -> Vec<(String, ListenAddress)> {
        self.book.bound(&self.published.load().config)
    }
}

/// Sends a command to a worker. A worker ends only with the process, so an error is only logged.
pub async fn send_command(worker: &mpsc::Sender<Command>, command: Command) {
    if worker.send(command).await.is_err() {
        tracing::error!("a worker has ended");
    }
}

/// Sets the metric of each certificate's expiry.
pub fn report_certificates(metrics: &Metrics, snapshot: &Snapshot) {
    let expiring = expiring(snapshot);
    metrics.set_certificates(expiring.iter().map(|one| (one.label.as_str(), one.not_after)));
}
