//! A shop of its own: five processes, their data, and what its clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::bus::Recorded;
use crate::client::Client;
use crate::command::{Places, Settings, command};
use crate::deadline::{Deadline, PATIENCE};
use crate::ground::{Engines, Ground};
use crate::promises::Promises;
use crate::running::{Begun, Running};
use crate::service::Service;
use crate::store::Store;

/// Lines of a log that are told of.
const LAST_LINES: usize = 15;

/// Dropping it kills its processes and its servers, and its data goes.
#[derive(Debug)]
pub struct World {
    processes: BTreeMap<Service, Mutex<Option<Running>>>,
    places: Places,
    pub promises: Arc<Promises>,
    settings: Settings,
    pub(crate) ground: Ground,
    // Last: nobody writes there any more.
    folder: TempDir,
}

impl World {
    /// A whole shop. `None`, after having said so, where the engines are not installed.
    pub async fn start(engines: Engines) -> Option<Arc<Self>> {
        Self::start_with(engines, Settings::default()).await
    }

    pub async fn start_with(engines: Engines, settings: Settings) -> Option<Arc<Self>> {
        let world = Self::prepare(engines, settings).await?;
        world.begin(&BTreeMap::new()).await;
        Some(world)
    }

    /// A place for one, where nothing runs yet.
    pub async fn prepare(engines: Engines, settings: Settings) -> Option<Arc<Self>> {
        let folder = tempfile::Builder::new().prefix("shop-proof-").tempdir().unwrap();
        let ground = Ground::lay(engines, folder.path()).await?;
        let processes = Service::ALL.map(|service| (service, Mutex::default())).into();
        let (places, promises) = (Places::choose(), Arc::default());
        Some(Arc::new(Self { processes, places, promises, settings, ground, folder }))
    }

    /// Starts every service, with the failpoints given. Those that died of them at once are told,
    /// and started again without.
    pub async fn begin(&self, failpoints: &BTreeMap<Service, String>) -> BTreeSet<Service> {
        let begin = |service: Service| {
            self.begin_one(service, failpoints.get(&service).map(String::as_str))
        };
        // Whoever is first makes the log that all share.
        let first = begin(Service::Users).await;
        let (products, payments, orders, notifications) = tokio::join!(
            begin(Service::Products),
            begin(Service::Payments),
            begin(Service::Orders),
            begin(Service::Notifications),
        );
        [first, products, payments, orders, notifications].into_iter().flatten().collect()
    }

    async fn begin_one(&self, service: Service, failpoint: Option<&str>) -> Option<Service> {
        if self.restart(service, failpoint).await == Begun::Listening {
            return None;
        }
        self.restart(service, None).await;
        Some(service)
    }

    /// Kills the service, if it runs, and starts it where it was: `failpoint` is its
    /// `SHOP_FAILPOINT`. Without one it listens when this returns.
    pub async fn restart(&self, service: Service, failpoint: Option<&str>) -> Begun {
        let mut slot = self.processes[&service].lock().await;
        if let Some(running) = slot.as_mut() {
            running.kill().await;
        }
        let deadline = Deadline::new(format!("{service} listens"), PATIENCE);
        loop {
            let mut running = self.spawn(service, failpoint);
            let lines = if service.has_grpc() { 2 } else { 1 };
            let begun = running.begun(lines).await;
            *slot = Some(running);
            if begun == Begun::Listening || (begun == Begun::Killed && failpoint.is_some()) {
                return begun;
            }
            // Its place may be someone else's for a moment: a client's end of a connection.
            let log = self.log(service);
            let taken = log.lines().last().is_some_and(|line| line.contains("cannot listen"));
            assert!(taken, "{service} does not start:\n{}", last_lines(&log));
            deadline.check(&"its place is taken");
            deadline.pause().await;
        }
    }

    /// Starts the service anew; it will die at the failpoint, which is none of its start. Waits for
    /// rest first: an event that it has published and not yet crossed out would be published again
    /// by the next life, which then dies of it, and not of what the test is about to ask.
    pub async fn arm(&self, service: Service, failpoint: &str) {
        self.quiet(PATIENCE).await;
        assert_eq!(self.restart(service, Some(failpoint)).await, Begun::Listening, "{failpoint}");
    }

    /// Waits for the death that the service is armed for, and starts it again.
    pub async fn dies_and_lives(&self, service: Service) {
        let died = tokio::time::timeout(PATIENCE, self.died(service)).await;
        died.expect("it has not died at its failpoint");
        self.restart(service, None).await;
    }

    pub async fn kill(&self, service: Service) {
        if let Some(running) = self.processes[&service].lock().await.as_mut() {
            running.kill().await;
        }
    }

    /// Resolves when the service was killed by its failpoint. Meanwhile it cannot be restarted.
    pub async fn died(&self, service: Service) {
        match self.processes[&service].lock().await.as_mut() {
            Some(running) => {
                let killed = running.ended().await;
                assert!(killed, "{service} ended by itself:\n{}", last_lines(&self.log(service)));
            }
            None => std::future::pending().await,
        }
    }

    pub async fn has_died(&self, service: Service) -> bool {
        self.processes[&service].lock().await.as_mut().is_some_and(Running::has_ended)
    }

    /// Its process, while it runs.
    pub async fn process_id(&self, service: Service) -> Option<u32> {
        self.processes[&service].lock().await.as_ref().and_then(Running::id)
    }

    /// A client of the service's REST.
    pub fn client(&self, service: Service) -> Client {
        Client::new(self.places.http(service), Arc::clone(&self.promises))
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What the service has logged, in all of its lives.
    pub fn log(&self, service: Service) -> String {
        let log = std::fs::read(self.log_file(service)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The last words of every service, for a failure that has no other explanation.
    pub fn last_words(&self) -> String {
        let mut text = String::new();
        for service in Service::ALL {
            text.push_str(&format!("{service} logged last:\n{}", last_lines(&self.log(service))));
        }
        text
    }

    /// Where letters are.
    pub(crate) fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// A file in the world's own folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All events that the broker has.
    pub async fn events(&self) -> Vec<Recorded> {
        self.ground.bus.events().await
    }

    /// Has events delivered once more, in this order, to all who heard them.
    pub async fn deliver_again(&self, events: &[Recorded]) {
        self.ground.bus.deliver_again(events).await;
    }

    /// As the platform's `Broker::open` takes it.
    pub fn broker_url(&self) -> String {
        self.ground.bus.url()
    }

    /// Kills PostgreSQL under the services.
    pub async fn kill_database(&self) {
        self.ground.kill_database().await;
    }

    pub async fn start_database(&self) {
        self.ground.start_database().await;
    }

    /// Kills NATS under the services.
    pub async fn kill_broker(&self) {
        self.ground.kill_broker().await;
    }

    pub async fn start_broker(&self) {
        self.ground.start_broker().await;
    }

    pub(crate) async fn store(&self, service: Service) -> Store {
        Store::open(self.ground.database(service)).await
    }

    fn spawn(&self, service: Service, failpoint: Option<&str>) -> Running {
        let Self { places, ground, settings, folder, .. } = self;
        let mut command = command(service, places, ground, settings, folder.path());
        if let Some(failpoint) = failpoint {
            command.env("SHOP_FAILPOINT", failpoint);
        }
        Running::spawn(&mut command, &self.log_file(service))
    }

    fn log_file(&self, service: Service) -> PathBuf {
        self.folder.path().join(format!("{service}.log"))
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    last.iter().map(|line| format!("    {line}\n")).collect()
}
