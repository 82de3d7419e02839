//! Which addresses the control runtime listens on, over generations: status listeners and the
//! admin API.
//!
//! A generation's new addresses are bound before it is published, so that what cannot be bound
//! refuses it; they are served once the control loop runs.

use std::sync::Arc;

use portcullis_config::location::Location;
use portcullis_config::model::{AdminAddress, Config, ListenAddress, ListenerKind};
use tokio_util::sync::CancellationToken;

use super::guard::AdminTransport;
use super::shared::Shared;
use super::{api, serve, status};
use crate::sockets::{self, ListenSocket, ListenerKey};
use crate::world::WorldError;

/// The name of the admin API beside the listeners.
const ADMIN: &str = "admin";

/// The addresses that are bound.
#[derive(Default)]
pub struct ControlBook {
    entries: Vec<ControlEntry>,
}

struct ControlEntry {
    purpose: AddressPurpose,
    place: ListenerKey,
    bound: ListenAddress,
    /// Until it is served.
    socket: Option<ListenSocket>,
    stop: CancellationToken,
}

/// A socket bound for a generation that is not published yet. Dropping it closes the socket.
pub struct ControlReservation {
    purpose: AddressPurpose,
    place: ListenerKey,
    pub name: String,
    pub bound: ListenAddress,
    socket: ListenSocket,
}

impl ControlReservation {
    /// Starts to listen.
    pub fn listen(&self) {
        sockets::listen_all(&self.name, std::slice::from_ref(&self.socket));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressPurpose {
    Status,
    Admin,
}

impl ControlBook {
    /// Binds what `config` wants and is not bound yet.
    /// Addresses that are `leaving` are our own until then; see [`sockets::bind`].
    pub fn reserve(
        &self,
        config: &Config,
        leaving: &[ListenAddress],
    ) -> Result<Vec<ControlReservation>, Vec<WorldError>> {
        let mut reservations = Vec::new();
        let mut faults = Vec::new();
        for wanted in wanted(config) {
            if self.entries.iter().any(|entry| wanted.is(entry)) {
                continue;
            }
            let Wanted { purpose, place, name, location } = wanted;
            match bind(purpose, &place, leaving) {
                Ok((socket, bound)) => {
                    reservations.push(ControlReservation { purpose, place, name, bound, socket })
                }
                Err(error) => faults.push(WorldError::new(
                    location,
                    match purpose {
                        AddressPurpose::Status => {
                            format!(
                                "listener `{name}` cannot be bound to `{}`: {error}",
                                place.address
                            )
                        }
                        AddressPurpose::Admin => {
                            format!("the admin API cannot be bound to `{}`: {error}", place.address)
                        }
                    },
                    sockets::help(&place.address, &error),
                )),
            }
        }
        if faults.is_empty() { Ok(reservations) } else { Err(faults) }
    }

    /// Bound addresses that `config` does not have.
    pub fn leaving(&self, config: &Config) -> impl Iterator<Item = ListenAddress> {
        let left = self.entries.iter().filter(|entry| !wants(config, entry));
        left.map(|entry| entry.bound.clone())
    }

    /// Adds the reservations, and removes the addresses that `config` does not have.
    pub fn commit(&mut self, config: &Config, reservations: Vec<ControlReservation>) {
        for ControlReservation { purpose, place, bound, socket, .. } in reservations {
            let stop = CancellationToken::new();
            self.entries.push(ControlEntry { purpose, place, bound, socket: Some(socket), stop });
        }
        self.entries.retain(|entry| {
            let kept = wants(config, entry);
            if !kept {
                entry.stop.cancel();
                remove_file(&entry.bound);
            }
            kept
        });
    }

    /// Starts to serve every address that is not served yet. Call it on the control runtime.
    pub fn serve(&mut self, shared: &Arc<Shared>) {
        for entry in &mut self.entries {
            let Some(socket) = entry.socket.take() else { continue };
            let shared = Arc::clone(shared);
            let router = match entry.purpose {
                AddressPurpose::Status => status::router(shared),
                AddressPurpose::Admin => api::router(shared, transport(&entry.bound)),
            };
            tokio::spawn(serve::serve(socket, router, entry.stop.clone()));
        }
    }

    /// Removes the files of Unix sockets: the process ends.
    pub fn forget(&mut self) {
        for entry in &self.entries {
            remove_file(&entry.bound);
        }
    }

    /// Where the status listeners and the admin API of `config` are bound, by name.
    pub fn bound(&self, config: &Config) -> Vec<(String, ListenAddress)> {
        let bound = wanted(config).filter_map(|wanted| {
            let entry = self.entries.iter().find(|entry| wanted.is(entry))?;
            Some((wanted.name, entry.bound.clone()))
        });
        bound.collect()
    }
}

struct Wanted<'a> {
    purpose: AddressPurpose,
    place: ListenerKey,
    name: String,
    location: &'a Location,
}

impl Wanted<'_> {
    /// Whether it is bound there already.
    fn is(&self, entry: &ControlEntry) -> bool {
        self.purpose == entry.purpose && self.place == entry.place
    }
}

fn wanted(config: &Config) -> impl Iterator<Item = Wanted<'_>> {
    let listeners = config.listeners.iter();
    let status = listeners.filter(|listener| matches!(listener.kind, ListenerKind::Status));
    let status = status.map(|listener| Wanted {
        purpose: AddressPurpose::Status,
        place: ListenerKey::new(listener.address.clone(), &listener.name),
        name: listener.name.clone(),
        location: &listener.location,
    });
    let admin = config.admin.iter().map(|admin| {
        let address = match &admin.address {
            AdminAddress::Loopback(address) => {
                ListenAddress::Tcp { address: *address, v6only: false }
            }
            AdminAddress::Unix(path) => ListenAddress::Unix(path.clone()),
        };
        Wanted {
            purpose: AddressPurpose::Admin,
            place: ListenerKey::new(address, ADMIN),
            name: ADMIN.to_owned(),
            location: &admin.location,
        }
    });
    status.chain(admin)
}

fn wants(config: &Config, entry: &ControlEntry) -> bool {
    wanted(config).any(|wanted| wanted.is(entry))
}

fn bind(
    purpose: AddressPurpose,
    place: &ListenerKey,
    leaving: &[ListenAddress],
) -> std::io::Result<(ListenSocket, ListenAddress)> {
    if let (AddressPurpose::Admin, ListenAddress::Unix(path)) = (purpose, &place.address) {
        let socket = sockets::bind_for_owner(path)?;
        return Ok((ListenSocket::Unix(socket), place.address.clone()));
    }
    let mut bound = sockets::bind(&place.address, 1, leaving)?;
    let socket = bound.sockets.pop().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, bound.address))
}

fn transport(bound: &ListenAddress) -> AdminTransport {
    match bound {
        ListenAddress::Tcp { .. } => AdminTransport::Tcp,
        ListenAddress::Unix(_) => AdminTransport::Unix,
    }
}

fn remove_file(bound: &ListenAddress) {
    if let ListenAddress::Unix(path) = bound {
        // The listener owns the file. It may be removed already.
        let _ = std::fs::remove_file(path);
    }
}
