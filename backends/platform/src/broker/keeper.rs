//! What a member of a group has been sent and does not handle yet keeps its lease: a task beside the
//! member looks after it while its receiver is busy with the event before.
//!
//! Without that, what waits behind slow events would come again, at another member and later, with
//! a try used for nothing. What waits far too long is given back, so that a member that is stuck
//! does not keep the others from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::BrokerError;

/// Beats in one lease: one may be late by a whole beat.
const BEATS: u32 = 3;
/// Beats for which an event may wait for its turn: ten leases.
const MOST_BEATS: u32 = 10 * BEATS;

/// A member that may have events waiting for their turn.
pub(super) trait Keep: Send + 'static {
    fn keep(&mut self) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// The task, which ends with this.
#[derive(Debug)]
pub(super) struct Keeper(AbortHandle);

impl Keeper {
    /// A member that waits for an event is locked meanwhile: it has none that wait for it.
    pub(super) fn start(member: &Arc<Mutex<impl Keep>>, lease: Duration) -> Self {
        let member = Arc::clone(member);
        let task = tokio::spawn(async move {
            // An interval of nothing is refused.
            let mut beat = interval((lease / BEATS).max(Duration::from_millis(1)));
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beat.tick().await;
                if let Err(error) = member.lock().await.keep().await {
                    tracing::debug!(%error, "leases were not extended");
                }
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether an event whose lease was extended so often has waited long enough.
pub(super) fn waits_too_long(beats: u32) -> bool {
    beats >= MOST_BEATS
}

pub(super) fn tell_of_given_back(group: &str, count: usize) {
    if count > 0 {
        tracing::warn!(group, count, "events waited too long behind another and were given back");
    }
}
