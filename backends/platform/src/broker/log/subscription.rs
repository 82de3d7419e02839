//! A member of a group: it waits for events, takes a batch over, and hands it out one by one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::take::{self, Taken};
use super::{Log, LogReceipt};
use crate::broker::filter::Filter;
use crate::broker::keeper::{tell_of_given_back, waits_too_long};
use crate::broker::{BrokerError, Policy};
use crate::event::Event;

/// Between two looks for what other processes have published: the first, and when nothing has come
/// for a while.
const POLL: Duration = Duration::from_millis(25);
const LONGEST_POLL: Duration = Duration::from_millis(200);

pub(in crate::broker) struct LogSubscription {
    log: Log,
    group: Arc<str>,
    filter: Arc<Filter>,
    pub(in crate::broker) policy: Policy,
    /// Leased already, not handed out yet, and how often the lease was extended meanwhile.
    fetched: VecDeque<(Event, LogReceipt, u32)>,
    /// A take-over under way: a task of its own, so that giving up `next` neither breaks it off (what
    /// it leases would be nobody's until the lease runs out) nor stops it while it holds the log's
    /// write lock.
    taking: Option<JoinHandle<Result<Taken, BrokerError>>>,
}

impl LogSubscription {
    pub(super) fn new(log: Log, group: String, filter: Filter, policy: Policy) -> Self {
        let (group, filter) = (group.into(), Arc::new(filter));
        Self { log, group, filter, policy, fetched: VecDeque::new(), taking: None }
    }

    pub(in crate::broker) async fn next(&mut self) -> Result<(Event, LogReceipt), BrokerError> {
        loop {
            if let Some((event, receipt, _)) = self.fetched.pop_front() {
                return Ok((event, receipt));
            }
            if self.taking.is_none() {
                self.until_due().await?;
            }
            self.take().await?;
        }
    }

    /// Keeps the leases of what waits for its turn. What has waited too long is for other members.
    pub(in crate::broker) async fn keep(&mut self) -> Result<(), BrokerError> {
        if self.taking.as_ref().is_some_and(JoinHandle::is_finished) {
            self.take().await?;
        }
        for (_, receipt, beats) in &mut self.fetched {
            if !waits_too_long(*beats) {
                receipt.extend(self.policy.lease).await?;
                *beats += 1;
            }
        }
        let before = self.fetched.len();
        // The oldest are in front.
        while self.fetched.front().is_some_and(|(_, _, beats)| waits_too_long(*beats)) {
            if let Some((_, receipt, _)) = self.fetched.pop_front() {
                receipt.give_back().await?;
            }
        }
        tell_of_given_back(&self.group, before - self.fetched.len());
        Ok(())
    }

    pub(in crate::broker) async fn close(&mut self) {
        if self.taking.is_some()
            && let Err(error) = self.take().await
        {
            tracing::debug!(%error, "the last events were not taken over");
        }
        for (_, receipt, _) in std::mem::take(&mut self.fetched) {
            if let Err(error) = receipt.give_back().await {
                // Its lease gives it back, later.
                tracing::debug!(%error, "an event was not given back");
            }
        }
    }

    async fn until_due(&mut self) -> Result<(), BrokerError> {
        let mut looks = 0;
        loop {
            // Before the look, so that an event in between is not slept over.
            let woken = self.log.wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if take::is_due(&self.log, &self.group, self.policy).await? {
                return Ok(());
            }
            // Eight at each pace: what follows upon an event is mostly there soon.
            let pause = (POLL * (1 << (looks / 8).min(3))).min(LONGEST_POLL);
            looks += 1;
            drop(tokio::time::timeout(pause, woken).await);
        }
    }

    async fn take(&mut self) -> Result<(), BrokerError> {
        let taking = self.taking.get_or_insert_with(|| {
            let (group, filter) = (Arc::clone(&self.group), Arc::clone(&self.filter));
            tokio::spawn(take::take(self.log.clone(), group, filter, self.policy))
        });
        let taken = taking.await;
        self.taking = None;
        // It neither panics nor is aborted, but for the end of the runtime.
        let taken = taken.map_err(|_| sqlx::Error::WorkerCrashed)??;
        self.fetched.extend(taken.into_iter().map(|(event, receipt)| (event, receipt, 0)));
        Ok(())
    }
}

impl fmt::Debug for LogSubscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LogSubscription")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
