//! Where everything listens: read from the gateway's configuration, so that the two cannot differ.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use portcullis_config::model::{AdminAddress, Config, EndpointTarget, ListenAddress};
use portcullis_config::parse_str;
use portcullis_testkit::process::free_address;

use crate::taken::check_free;

/// Which ports are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ports {
    /// Where the example's configuration says.
    Example,
    /// On loopback, on ports that are free now.
    Free,
}

/// The configuration that the gateway runs with, and what it says.
#[derive(Debug)]
pub(crate) struct Places {
    /// The example itself, or what was derived from it, in the demo's folder.
    pub(crate) config: PathBuf,
    pub(crate) https: SocketAddr,
    pub(crate) plain: SocketAddr,
    pub(crate) status: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) users: SocketAddr,
    pub(crate) products: SocketAddr,
    /// Products' gRPC, which has an upstream of its own.
    pub(crate) inventory: SocketAddr,
    pub(crate) orders: SocketAddr,
    pub(crate) payments: SocketAddr,
    /// Nothing of the gateway's: orders alone calls it.
    pub(crate) payments_grpc: SocketAddr,
    pub(crate) notifications: SocketAddr,
    /// Said to the user when the example could not be taken as it is.
    pub(crate) note: Option<&'static str>,
}

impl Places {
    /// Every address is free when this returns.
    pub(crate) fn choose(example: &Path, ports: Ports, folder: &Path) -> anyhow::Result<Self> {
        let example = std::path::absolute(example)?;
        let text = std::fs::read_to_string(&example)
            .with_context(|| format!("{} cannot be read", example.display()))?;
        let places = Self::of(example, &text)?;
        match ports {
            Ports::Free => places.moved(&text, folder),
            Ports::Example => {
                let places = if places.needs_ipv6() && !has_ipv6() {
                    let note = "this machine has no IPv6: the gateway listens on 0.0.0.0";
                    let text = text.replace("\"[::]:", "\"0.0.0.0:");
                    Self { note: Some(note), ..Self::written(&text, folder)? }
                } else {
                    places
                };
                for (purpose, address) in places.all() {
                    check_free(purpose, address)?;
                }
                Ok(places)
            }
        }
    }

    pub(crate) fn all(&self) -> [(&'static str, SocketAddr); 11] {
        [
            ("the gateway's TLS listener", self.https),
            ("the gateway's plain listener", self.plain),
            ("the gateway's status listener", self.status),
            ("the gateway's admin API", self.admin),
            ("the users service", self.users),
            ("the products service", self.products),
            ("the products service's gRPC", self.inventory),
            ("the orders service", self.orders),
            ("the payments service", self.payments),
            ("the payments service's gRPC", self.payments_grpc),
            ("the notifications service", self.notifications),
        ]
    }

    /// The shop as its customers know it.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    fn of(config: PathBuf, text: &str) -> anyhow::Result<Self> {
        let loaded = parse_str(&config.display().to_string(), text)
            .map_err(|failed| anyhow!("\n{}", failed.report.render(&failed.sources, false)))?;
        let found = &loaded.config;
        let products = endpoint(found, "products")?;
        let inventory = endpoint(found, "inventory")?;
        let payments = endpoint(found, "payments")?;
        Ok(Self {
            https: listener(found, "public")?,
            plain: listener(found, "plain")?,
            status: listener(found, "status")?,
            admin: admin(found)?,
            users: endpoint(found, "users")?,
            products,
            inventory,
            orders: endpoint(found, "orders")?,
            payments,
            payments_grpc: beside(payments, products, inventory),
            notifications: endpoint(found, "notifications")?,
            config,
            note: None,
        })
    }

    fn written(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("shop.yaml");
        std::fs::write(&path, text)?;
        Self::of(path, text)
    }

    /// The same configuration on ports that are free.
    fn moved(&self, text: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut chosen = BTreeSet::new();
        while chosen.len() < self.all().len() {
            chosen.insert(free_address()?);
        }
        let mut text = text.to_owned();
        let mut payments_grpc = self.payments_grpc;
        for ((_, old), new) in self.all().into_iter().zip(chosen) {
            text = text.replace(&format!("\"{old}\""), &format!("\"{new}\""));
            if old == self.https {
                let port = |port| format!("port: {port}, status: 308");
                text = text.replace(&port(old.port()), &port(new.port()));
            }
            if old == self.payments_grpc {
                payments_grpc = new;
            }
        }
        Ok(Self { payments_grpc, ..Self::written(&text, folder)? })
    }

    fn needs_ipv6(&self) -> bool {
        self.all().iter().any(|(_, address)| address.is_ipv6())
    }
}

fn listener(config: &Config, name: &str) -> anyhow::Result<SocketAddr> {
    let found = config.listeners.iter().find(|listener| listener.name == name);
    match found.map(|listener| &listener.address) {
        Some(ListenAddress::Tcp { address, .. }) => Ok(*address),
        _ => Err(anyhow!("the configuration has no TCP listener {name:?}")),
    }
}

fn endpoint(config: &Config, name: &str) -> anyhow::Result<SocketAddr> {
    let upstream = config.upstreams.iter().find(|upstream| upstream.name == name);
    match upstream.and_then(|upstream| upstream.endpoints.first()).map(|first| &first.target) {
        Some(EndpointTarget::Address(address)) => Ok(*address),
        _ => Err(anyhow!("the configuration has no upstream {name:?} with an address")),
    }
}

/// As far from its REST as another service's gRPC is from that one's.
fn beside(rest: SocketAddr, other_rest: SocketAddr, other_grpc: SocketAddr) -> SocketAddr {
    let distance = other_grpc.port().wrapping_sub(other_rest.port());
    SocketAddr::new(rest.ip(), rest.port().wrapping_add(distance))
}

fn admin(config: &Config) -> anyhow::Result<SocketAddr> {
    match config.admin.as_ref().map(|admin| &admin.address) {
        Some(AdminAddress::Loopback(address)) => Ok(*address),
        _ => Err(anyhow!("the configuration has no admin API on TCP")),
    }
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::]:0").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/shop.yaml");

    #[test]
    fn everything_moves_and_nothing_of_the_example_stays() {
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(EXAMPLE).unwrap();
        let old = Places::of(EXAMPLE.into(), &text).unwrap();
        let new = Places::choose(Path::new(EXAMPLE), Ports::Free, folder.path()).unwrap();
        assert_eq!(old.payments_grpc.port(), 7104);
        for ((purpose, old), (_, new)) in old.all().into_iter().zip(new.all()) {
            assert_ne!(old.port(), new.port(), "{purpose}");
            assert!(new.ip().is_loopback(), "{purpose}");
        }
        let derived = std::fs::read_to_string(&new.config).unwrap();
        assert!(
            derived.contains(&format!("redirect: {{scheme: https, port: {}", new.https.port()))
        );
        let distinct: BTreeSet<_> = new.all().map(|(_, address)| address).into();
        assert_eq!(distinct.len(), new.all().len());
    }
}
