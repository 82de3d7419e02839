//! What a world stands on: files alone, or servers of its own that can be killed under it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use shop_platform::testing::{Nats, Postgres};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::bus::Bus;
use crate::service::Service;

/// Which of the engines that the shop can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engines {
    /// SQLite files and the embedded log.
    Embedded,
    /// PostgreSQL and NATS.
    Servers,
}

#[derive(Debug)]
pub(crate) struct Ground {
    databases: BTreeMap<Service, String>,
    pub(crate) bus: Bus,
    servers: Option<Servers>,
}

#[derive(Debug)]
struct Servers {
    postgres: Arc<Postgres>,
    nats: Arc<Mutex<Nats>>,
}

impl Ground {
    /// `None`, after having said so, where the servers are not installed.
    pub(crate) async fn lay(engines: Engines, folder: &Path) -> Option<Self> {
        if engines == Engines::Embedded {
            let file = |service: Service| format!("sqlite:{}/{service}.db", folder.display());
            let databases = Service::ALL.map(|service| (service, file(service))).into();
            let bus = Bus::Log { file: folder.join("events.db") };
            return Some(Self { databases, bus, servers: None });
        }
        // Both are asked for, so that all that is missing is told at once.
        let (postgres, nats) =
            spawn_blocking(|| (Postgres::start(), shop_platform::testing::nats())).await.unwrap();
        let (postgres, nats) = (Arc::new(postgres?), nats?);
        let bus = Bus::Nats { url: nats.url() };
        let server = Arc::clone(&postgres);
        let url = move |service: Service| server.url(&format!("shop_{service}"));
        let databases = spawn_blocking(move || Service::ALL.map(|service| (service, url(service))));
        let databases = databases.await.unwrap().into();
        let servers = Servers { postgres, nats: Arc::new(Mutex::new(nats)) };
        Some(Self { databases, bus, servers: Some(servers) })
    }

    pub(crate) fn database(&self, service: Service) -> &str {
        &self.databases[&service]
    }

    pub(crate) async fn kill_database(&self) {
        let postgres = Arc::clone(&self.servers().postgres);
        spawn_blocking(move || postgres.kill()).await.unwrap();
    }

    pub(crate) async fn start_database(&self) {
        let postgres = Arc::clone(&self.servers().postgres);
        spawn_blocking(move || postgres.start_again()).await.unwrap();
    }

    pub(crate) async fn kill_broker(&self) {
        let mut nats = Arc::clone(&self.servers().nats).lock_owned().await;
        spawn_blocking(move || nats.kill()).await.unwrap();
    }

    pub(crate) async fn start_broker(&self) {
        let mut nats = Arc::clone(&self.servers().nats).lock_owned().await;
        spawn_blocking(move || nats.start_again()).await.unwrap();
    }

    fn servers(&self) -> &Servers {
        self.servers.as_ref().expect("files cannot be killed: kill the processes")
    }
}
