//! When a world is at rest: everything that was begun is at its end, and everyone has heard of it.

use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::service::Service;
use crate::world::World;

/// How often the leases of the dead are let run out.
const HASTEN: Duration = Duration::from_secs(2);

impl World {
    /// Waits for rest.
    pub async fn quiet(&self, within: Duration) {
        self.quiet_but(None, within).await;
    }

    /// Waits until all but one are at rest: that one sleeps.
    pub async fn quiet_but(&self, sleeper: Option<Service>, within: Duration) {
        let deadline = Deadline::new("the shop is at rest", within);
        let (mut rests, mut hastened) = (0, None::<Instant>);
        loop {
            if hastened.is_none_or(|hastened| hastened.elapsed() >= HASTEN) {
                self.let_leases_run_out().await;
                hastened = Some(Instant::now());
            }
            let mut open = self.unfinished().await;
            open.retain(|(service, _)| Some(*service) != sleeper);
            // What is handled between two looks into two databases is seen in neither: twice.
            rests = if open.is_empty() { rests + 1 } else { 0 };
            if rests == 2 {
                return;
            }
            deadline.check(&open);
            deadline.pause().await;
        }
    }

    /// What was begun and is not at its end, and with whom.
    async fn unfinished(&self) -> Vec<(Service, String)> {
        let mut open = Vec::new();
        let sagas = "SELECT COUNT(*) FROM sagas";
        open.extend(self.some(Service::Orders, "sagas", sagas).await);
        for service in Service::ALL.into_iter().filter(|service| service.has_outbox()) {
            let events = "SELECT COUNT(*) FROM outbox";
            open.extend(self.some(service, "events to send", events).await);
        }
        let letters = "SELECT COUNT(*) FROM messages WHERE state = 'pending'";
        open.extend(self.some(Service::Notifications, "letters to send", letters).await);
        open.extend(self.ground.bus.unheard().await);
        open
    }

    async fn some(
        &self,
        service: Service,
        what: &str,
        statement: &'static str,
    ) -> Option<(Service, String)> {
        let mut store = self.store(service).await;
        let count = store.number(statement).await;
        store.close().await;
        (count > 0).then(|| (service, format!("{count} {what}")))
    }

    /// The leases that the dead left behind, on events and on letters, run out now: time does that
    /// too, but it takes half a minute and more. A saga's lease is short by its flag.
    pub async fn let_leases_run_out(&self) {
        self.ground.bus.let_leases_run_out().await;
        let mut store = self.store(Service::Notifications).await;
        store.execute("UPDATE messages SET due_at = 0 WHERE state = 'pending'", &[]).await;
        store.close().await;
    }

    /// Lets everybody else come to rest, and turns round the order of what the service, which does
    /// not run, has not heard yet.
    pub async fn turn_round(&self, service: Service, within: Duration) {
        self.quiet_but(Some(service), within).await;
        self.ground.bus.turn_round(service).await;
    }
}
