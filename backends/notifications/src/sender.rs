//! Sends the letters that wait, a few at a time, for as long as the service runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shop_platform::Clock;
use shop_platform::failpoint::{Failpoints, Kind};
use tokio::sync::Notify;

use crate::mail::Mailer;
use crate::metrics::NotificationMetrics;
use crate::outbox::{LEASE, Outbox, Outcome, Settled, Taken};

/// Letters at once.
const AT_ONCE: u32 = 8;
/// How long one delivery may take; well within the lease, so that nobody else begins with it.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);
const _: () = assert!(DELIVERY_TIMEOUT.as_secs() * 2 < LEASE.as_secs());
/// How often to look, when nobody says that there is something.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Sender {
    pub(crate) outbox: Outbox,
    pub(crate) mailer: Mailer,
    pub(crate) failpoints: Failpoints,
    pub(crate) metrics: NotificationMetrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// Told when a letter was added in this process.
    pub(crate) added: Arc<Notify>,
}

impl Sender {
    /// Dropped in the middle of a delivery it leaves the letter to its lease.
    pub(crate) async fn run(self) -> Infallible {
        loop {
            match self.round().await {
                // There may be more.
                Ok(taken) if taken == AT_ONCE as usize => continue,
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the outbox of letters failed"),
            }
            // Letters that wait for their next try, and those of other processes, tell nobody.
            drop(tokio::time::timeout(LOOK, self.added.notified()).await);
        }
    }

    /// Takes what is due, tries it, and writes down how that went. Says how many there were.
    pub(crate) async fn round(&self) -> Result<usize, sqlx::Error> {
        let taken = self.outbox.take(self.clock.now(), AT_ONCE).await?;
        let settled = join_all(taken.iter().map(|letter| self.send(letter))).await;
        settled.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(taken.len())
    }

    async fn send(&self, taken: &Taken) -> Result<(), sqlx::Error> {
        let id = taken.letter.id;
        self.failpoints.before(Kind::Call, "notifications.deliver");
        let delivered = self.mailer.deliver(&taken.letter, DELIVERY_TIMEOUT).await;
        self.failpoints.after(Kind::Call, "notifications.deliver");
        let outcome = match &delivered {
            Ok(()) => Outcome::Sent,
            Err(error) if error.is_passing() => Outcome::Again,
            Err(_) => Outcome::Refused,
        };
        let settled = self.outbox.settle(taken, outcome, self.clock.now()).await?;
        self.metrics.letter(settled);
        match (settled, delivered) {
            (Settled::Waiting, Err(error)) => {
                tracing::warn!(%id, %error, "a letter was not delivered and will be tried again");
            }
            (Settled::Failed, Err(error)) => {
                tracing::error!(%id, %error, "a letter is given up");
            }
            (Settled::Sent | Settled::Waiting | Settled::Failed, _) => {
                tracing::debug!(%id, "a letter was delivered");
            }
        }
        Ok(())
    }
}
