//! Where engines pass requests on to, as words of their configurations.

use std::net::SocketAddr;

use super::shop::Services;

/// What stands behind an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upstreams {
    /// Everything at one address.
    One(SocketAddr),
    /// Every service of the shop at its own.
    Shop(Services),
}

impl Upstreams {
    /// Ports, by the words that they take the place of.
    pub(super) fn words(self) -> Vec<(&'static str, String)> {
        let ports = match self {
            Self::One(address) => vec![("@ORIGIN@", address)],
            Self::Shop(services) => vec![
                ("@USERS@", services.users),
                ("@PRODUCTS@", services.products),
                ("@ORDERS@", services.orders),
                ("@PAYMENTS@", services.payments),
                ("@NOTIFICATIONS@", services.notifications),
            ],
        };
        ports.into_iter().map(|(word, address)| (word, address.port().to_string())).collect()
    }
}
