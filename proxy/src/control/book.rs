//! The addresses that workers listen on, across generations.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_config::model::{Config, ListenAddress, Listener};

use crate::admin::ControlBook;
use crate::connection_balance::{ConnectionBalancer, HandoverQueue};
use crate::snapshot::Addresses;
use crate::sockets::{self, BoundSockets, ListenSocket, ListenerId, ListenerKey};
use crate::world::WorldError;

/// The bound addresses.
#[derive(Default)]
pub struct AddressBook {
    entries: HashMap<ListenerKey, Entry>,
    last_id: u64,
    /// The addresses of the status listeners and the admin API.
    pub control: ControlBook,
}

struct Entry {
    id: ListenerId,
    bound: ListenAddress,
}

/// Sockets bound for a generation that is not published yet.
pub struct Reservation {
    pub id: ListenerId,
    pub name: String,
    place: ListenerKey,
    pub bound: ListenAddress,
    pub balancer: Arc<ConnectionBalancer>,
    /// A socket for each worker; `handovers` has the queues, in the same order.
    pub sockets: Vec<ListenSocket>,
    pub handovers: Vec<HandoverQueue>,
}

impl Reservation {
    /// Starts to listen; see [`sockets::bind`].
    pub fn listen(&self) {
        sockets::listen_all(&self.name, &self.sockets);
    }
}

impl AddressBook {
    /// Binds the worker listeners of `config` that are not bound yet. Dropping a reservation closes
    /// its sockets.
    pub fn reserve(
        &mut self,
        config: &Config,
        workers: usize,
    ) -> Result<Vec<Reservation>, Vec<WorldError>> {
        let mut reservations = Vec::new();
        let mut faults = Vec::new();
        let leaving = self.leaving(config);
        for listener in &config.listeners {
            let place = ListenerKey::of(listener);
            if !listener.kind.carries_routes() || self.entries.contains_key(&place) {
                continue;
            }
            match sockets::bind(&listener.address, workers, &leaving) {
                Ok(BoundSockets { sockets, address }) => {
                    self.last_id += 1;
                    let (balancer, handovers) = ConnectionBalancer::new(workers);
                    reservations.push(Reservation {
                        id: ListenerId(self.last_id),
                        name: listener.name.clone(),
                        place,
                        bound: address,
                        balancer,
                        sockets,
                        handovers,
                    });
                }
                Err(error) => {
                    let help = sockets::help(&listener.address, &error);
                    let message = format!(
                        "listener `{}` cannot be bound to `{}`: {error}",
                        listener.name, listener.address
                    );
                    faults.push(WorldError::new(&listener.location, message, help));
                }
            }
        }
        if faults.is_empty() { Ok(reservations) } else { Err(faults) }
    }

    /// Bound addresses that `config` does not have; its listeners may take them.
    pub fn leaving(&self, config: &Config) -> Vec<ListenAddress> {
        let http = self.entries.iter().filter(|(place, _)| !wants(config, place));
        http.map(|(_, entry)| entry.bound.clone()).chain(self.control.leaving(config)).collect()
    }

    /// Adds the reservations, and removes the addresses that `config` does not have.
    pub fn commit(
        &mut self,
        config: &Config,
        reservations: &[Reservation],
    ) -> Vec<(ListenerId, ListenAddress)> {
        for reservation in reservations {
            let entry = Entry { id: reservation.id, bound: reservation.bound.clone() };
            self.entries.insert(reservation.place.clone(), entry);
        }
        let mut retired = Vec::new();
        self.entries.retain(|place, entry| {
            let wanted = wants(config, place);
            if !wanted {
                retired.push((entry.id, entry.bound.clone()));
                if let ListenAddress::Unix(path) = &entry.bound {
                    // The listener owns the file. It may be removed already.
                    let _ = std::fs::remove_file(path);
                }
            }
            wanted
        });
        retired
    }

    /// Removes the files of Unix sockets: the process ends.
    pub fn forget(&mut self) {
        self.control.forget();
        for (_, entry) in self.entries.drain() {
            if let ListenAddress::Unix(path) = &entry.bound {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Where the listeners of `config` and its admin API are bound, by name.
    pub fn bound(&self, config: &Config) -> Vec<(String, ListenAddress)> {
        let served =
            config.listeners.iter().filter(|listener| listener.kind.carries_routes()).filter_map(
                |listener| {
                    let entry = self.entries.get(&ListenerKey::of(listener))?;
                    Some((listener.name.clone(), entry.bound.clone()))
                },
            );
        served.chain(self.control.bound(config)).collect()
    }
}

/// Whether `config` has a listener at this address.
fn wants(config: &Config, place: &ListenerKey) -> bool {
    config
        .listeners
        .iter()
        .any(|listener| listener.kind.carries_routes() && ListenerKey::of(listener) == *place)
}

/// The book with the reservations of the generation that is being built.
pub struct WithReservations<'a>(pub &'a AddressBook, pub &'a [Reservation]);

impl Addresses for WithReservations<'_> {
    fn identify(&self, listener: &Listener) -> Option<(ListenerId, Option<u16>)> {
        let Self(book, reservations) = self;
        let place = ListenerKey::of(listener);
        let reserved = reservations
            .iter()
            .find(|reservation| reservation.place == place)
            .map(|reservation| (reservation.id, &reservation.bound));
        let (id, bound) =
            reserved.or_else(|| book.entries.get(&place).map(|entry| (entry.id, &entry.bound)))?;
        let port = match bound {
            ListenAddress::Tcp { address, .. } => Some(address.port()),
            ListenAddress::Unix(_) => None,
        };
        Some((id, port))
    }
}
