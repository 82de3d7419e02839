//! Checks that this machine has what a configuration needs, without serving.
//!
//! Builds what a start would build, then drops it. It reads files, but binds no socket, resolves no
//! name and opens no log, so that it can run beside a serving process.

use std::sync::Arc;

use portcullis_config::model::{Config, ListenAddress, Listener};
use prometheus::Registry;

use crate::observe::metrics::Metrics;
use crate::snapshot::{Addresses, Snapshot};
use crate::sockets::ListenerId;
use crate::world::WorldError;

/// Every problem that would prevent serving `config`, except addresses in use.
///
/// # Errors
/// If the metrics cannot be registered, which is no fault of the configuration.
pub fn check(config: &Arc<Config>) -> Result<Vec<WorldError>, prometheus::Error> {
    let metrics = Metrics::new(1, &Registry::new())?;
    let built = Snapshot::build(Arc::clone(config), None, &metrics, &Unbound);
    Ok(built.err().unwrap_or_default())
}

/// Treats every address as bound. There is no previous generation, so identities do not matter.
struct Unbound;

impl Addresses for Unbound {
    fn identify(&self, listener: &Listener) -> Option<(ListenerId, Option<u16>)> {
        let port = match &listener.address {
            ListenAddress::Tcp { address, .. } => Some(address.port()),
            ListenAddress::Unix(_) => None,
        };
        Some((ListenerId(0), port))
    }
}
