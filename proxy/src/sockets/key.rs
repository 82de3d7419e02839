//! What makes the listeners of two generations the same one.

use portcullis_config::model::{ListenAddress, Listener};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListenerKey {
    pub(crate) address: ListenAddress,
    /// Tells addresses apart whose port the kernel chooses.
    name: Option<String>,
}

impl ListenerKey {
    pub(crate) fn new(address: ListenAddress, name: &str) -> Self {
        let chosen = matches!(&address, ListenAddress::Tcp { address, .. } if address.port() == 0);
        Self { address, name: chosen.then(|| name.to_owned()) }
    }

    pub(crate) fn of(listener: &Listener) -> Self {
        Self::new(listener.address.clone(), &listener.name)
    }
}
