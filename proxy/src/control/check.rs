//! Whether the world is as a configuration needs it, found without serving.
//!
//! Builds what a start would build and throws it away: files are read, but no socket is bound, no
//! name is asked for and no log is opened, so that it may run beside the process that serves.

use std::sync::Arc;

use portcullis_config::model::{Config, ListenAddress, Listener};
use prometheus::Registry;

use crate::observe::metrics::Metrics;
use crate::snapshot::{Addresses, Snapshot};
use crate::sockets::ListenerId;
use crate::world::WorldError;

/// Everything that would keep `config` from being served, addresses in use excepted.
///
/// # Errors
/// When the metrics cannot be registered, which says nothing of the configuration.
pub fn check(config: &Arc<Config>) -> Result<Vec<WorldError>, prometheus::Error> {
    let metrics = Metrics::new(1, &Registry::new())?;
    let built = Snapshot::build(Arc::clone(config), None, &metrics, &Unbound);
    Ok(built.err().unwrap_or_default())
}

/// Takes every address for bound. No generation went before, so nobody compares the identities.
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
