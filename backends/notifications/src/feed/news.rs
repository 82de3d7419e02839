//! How listeners hear of new messages: at once of those that this process adds, and within a
//! second of those that others do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::feed::seats::Seats;
use crate::messages::Messages;

/// How often to look for what other processes have added.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn spread(seats: Arc<Seats>, messages: Messages) -> Infallible {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accounts = tokio::select! {
            () = seats.announced() => seats.take_announced(),
            _ = look.tick() => seats.listening(),
        };
        if accounts.is_empty() {
            continue;
        }
        match messages.latest_of(&accounts).await {
            Ok(found) => found.into_iter().for_each(|(account, at)| seats.tell(account, at)),
            // The next look finds what this one missed.
            Err(error) => tracing::warn!(%error, "nobody could look for new messages"),
        }
    }
}
