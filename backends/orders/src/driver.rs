//! Drives the sagas: takes those that are due, makes their calls, records how the calls went.
//!
//! One step is one call and one commit. Between any two of them the process may die: the lease runs
//! out, and whoever takes the saga then repeats the call, which the other service knows by the
//! order's id. What to do is decided by [`crate::saga`] alone. Several processes may drive the sagas
//! of one database.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shop_platform::event::Event;
use shop_platform::{Clock, Database, Transaction, UnixTime, outbox};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::Instrument;

use crate::events;
use crate::metrics::OrderMetrics;
use crate::order::{Command, Fact, Order, State};
use crate::ports::{CallError, Inventory, Payments, Undone};
use crate::saga::{self, Decision, Outcome, Position, Step};
use crate::sagas::{self, Leased};
use crate::store::{self, StoreError};
use crate::waiting::Waiting;

/// How often to look for sagas that nobody announced: those of dead processes, and of retries.
const POLL: Duration = Duration::from_millis(250);
/// How often the unfinished are counted, for the metric.
const COUNT: Duration = Duration::from_secs(2);
/// Stock is held for this much longer than the saga may go forward: what is paid must be there.
const HOLD_MARGIN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub(crate) struct DriverOptions {
    /// Sagas that are driven at once.
    pub(crate) concurrency: usize,
    /// How long a saga is taken for; anew with each step.
    pub(crate) lease: Duration,
}

/// What is needed to drive a saga.
pub(crate) struct Driver {
    pub(crate) database: Database,
    pub(crate) inventory: Arc<dyn Inventory>,
    pub(crate) payments: Arc<dyn Payments>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Rings when a saga is due.
    pub(crate) due: Arc<Notify>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) metrics: OrderMetrics,
    pub(crate) options: DriverOptions,
}

/// Whether a saga goes on at once.
enum Progress {
    On(Box<(Leased, Order)>),
    /// It is at its end, or due later, or no longer ours.
    Off,
}

impl Driver {
    /// Drives sagas for ever. May be dropped at any point.
    pub(crate) async fn run(self: Arc<Self>) -> Infallible {
        let mut running = JoinSet::new();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count_at = Instant::now();
        loop {
            while let Some(ended) = running.try_join_next() {
                report(ended);
            }
            if Instant::now() >= count_at {
                self.count().await;
                count_at = Instant::now() + COUNT;
            }
            let free = self.options.concurrency.saturating_sub(running.len());
            let taken = self.take(free).await;
            let full = taken.len() == free;
            for leased in taken {
                let span = tracing::info_span!(
                    "saga",
                    order_id = %leased.order_id,
                    request_id = leased.context.request_id(),
                    traceparent = leased.context.traceparent(),
                );
                running.spawn(Arc::clone(&self).drive(leased).instrument(span));
            }
            loop {
                tokio::select! {
                    () = self.due.notified(), if !full => break,
                    _ = poll.tick() => break,
                    Some(ended) = running.join_next() => {
                        report(ended);
                        // There may be more than there was room for. Several are taken in one
                        // commit rather than one in each.
                        if full && running.len() <= self.options.concurrency / 2 {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Drives what is due, and what becomes due by that, to where it must wait; tells how many
    /// sagas were taken.
    #[cfg(test)]
    pub(crate) async fn run_due(self: &Arc<Self>) -> usize {
        let mut count = 0;
        loop {
            let taken = self.take(self.options.concurrency).await;
            if taken.is_empty() {
                return count;
            }
            count += taken.len();
            for leased in taken {
                Arc::clone(self).drive(leased).await;
            }
        }
    }

    async fn count(&self) {
        let counted = async {
            let mut connection = self.database.pool().acquire().await?;
            sagas::unfinished(&mut connection).await
        };
        match counted.await {
            Ok(unfinished) => self.metrics.set_unfinished(unfinished),
            Err(error) => tracing::warn!(%error, "the unfinished sagas cannot be counted"),
        }
    }

    async fn take(&self, limit: usize) -> Vec<Leased> {
        self.try_take(limit).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "no saga can be taken");
            Vec::new()
        })
    }

    async fn try_take(&self, limit: usize) -> Result<Vec<Leased>, sqlx::Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        {
            let mut connection = self.database.pool().acquire().await?;
            if !sagas::is_any_due(&mut connection, now).await? {
                return Ok(Vec::new());
            }
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut transaction = self.database.begin_write().await?;
        let taken = sagas::take(&mut transaction, now, self.options.lease, limit).await?;
        self.database.commit(transaction, "saga.take").await?;
        Ok(taken)
    }

    /// Takes one step after the other, until the saga must wait or is at its end. After a failure
    /// of the database the lease runs out, and the saga is taken anew.
    async fn drive(self: Arc<Self>, leased: Leased) {
        let order_id = leased.order_id;
        let mut progress = match self.load(leased).await {
            Ok(started) => Progress::On(Box::new(started)),
            Err(error) => return tracing::error!(%error, "a saga cannot begin"),
        };
        while let Progress::On(current) = progress {
            let (leased, order) = *current;
            let step = leased.step;
            let outcome = self.attempt(&leased, &order).await;
            self.metrics.step(step, outcome);
            progress = match self.record(leased, order, outcome).await {
                Ok(progress) => progress,
                Err(error) => {
                    let step = step.as_str();
                    return tracing::error!(%error, step, "a step cannot be recorded");
                }
            };
        }
        tracing::debug!(%order_id, "a saga rests");
    }

    async fn load(&self, leased: Leased) -> Result<(Leased, Order), StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        let order = store::load(&mut connection, leased.order_id).await?;
        let order = order.ok_or(StoreError::Gap(leased.order_id))?;
        Ok((leased, order))
    }

    async fn attempt(&self, leased: &Leased, order: &Order) -> Outcome {
        let now = self.clock.now();
        if position(leased, order).is_pointless(now) {
            return Outcome::NotTried;
        }
        let (context, id) = (&leased.context, leased.order_id);
        let done = |fact| move |()| fact;
        let answer = match leased.step {
            Step::Reserve => {
                let hold = leased.deadline_at.since(now) + HOLD_MARGIN;
                let answer = self.inventory.reserve(context, id, order.lines(), hold).await;
                answer.map(done(Fact::StockReserved))
            }
            Step::Authorize => {
                let answer = self.payments.authorize(context, order).await;
                answer.map(done(Fact::PaymentAuthorized))
            }
            Step::CommitStock => {
                self.inventory.commit(context, id).await.map(done(Fact::StockCommitted))
            }
            Step::Capture => {
                self.payments.capture(context, id).await.map(done(Fact::PaymentCaptured))
            }
            Step::UndoPayment => {
                let answer = self.payments.undo(context, id).await;
                answer.map(|Undone { refunded }| Fact::PaymentUndone { refunded })
            }
            Step::ReleaseStock => {
                self.inventory.release(context, id).await.map(done(Fact::StockReleased))
            }
        };
        let (step, attempts) = (leased.step.as_str(), leased.attempts);
        match answer {
            Ok(fact) => Outcome::Done(fact),
            Err(CallError::Refused(reason)) => {
                tracing::info!(step, ?reason, "a step was refused");
                Outcome::Refused(reason)
            }
            Err(CallError::InDoubt(code)) => {
                tracing::warn!(step, attempts, ?code, "a step was not answered");
                Outcome::InDoubt
            }
        }
    }

    /// One commit with all that follows from a step. If others changed the order meanwhile, it is
    /// decided anew, a few times.
    async fn record(
        &self,
        leased: Leased,
        mut order: Order,
        outcome: Outcome,
    ) -> Result<Progress, StoreError> {
        for _ in 0..store::TRIES {
            match self.try_record(&leased, order, outcome).await {
                Err(StoreError::Conflict) => order = self.load(leased.clone()).await?.1,
                recorded => return recorded,
            }
        }
        Err(StoreError::Conflict)
    }

    async fn try_record(
        &self,
        leased: &Leased,
        mut order: Order,
        outcome: Outcome,
    ) -> Result<Progress, StoreError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin_write().await?;
        if !leased.hold(&mut transaction).await? {
            self.metrics.lost_leases.inc();
            tracing::info!(step = leased.step.as_str(), "the saga was taken over");
            return Ok(Progress::Off);
        }
        if matches!(outcome, Outcome::InDoubt) {
            // Nothing is appended that would show a cancellation that came in the meantime.
            order = store::load(&mut transaction, leased.order_id)
                .await?
                .ok_or(StoreError::Gap(leased.order_id))?;
        }
        let mut commands = Vec::new();
        if let Outcome::Done(fact) = outcome {
            commands.push(Command::Record(fact));
        }
        let decision = saga::next(&position(leased, &order), outcome, now);
        let next = self.follow(&mut transaction, leased, decision, &mut commands, now).await?;
        let was = order.state();
        store::execute(&mut transaction, &mut order, commands, now).await?;
        let ended = was != order.state() && order.state().is_final();
        if ended && let Some(event) = end_event(&order, leased, now) {
            outbox::add(&mut transaction, &event).await?;
        }
        self.database.commit(transaction, leased.step.failpoint()).await?;
        if ended {
            self.metrics.ended(&order, now.since(leased.started_at));
            self.waiting.ring(order.id());
            tracing::info!(state = order.state().as_str(), "an order has come to its end");
        }
        Ok(next.map_or(Progress::Off, |next| Progress::On(Box::new((next, order)))))
    }

    /// Moves the saga as was decided, and adds what the order is told by that. The answer is the
    /// saga at its next step, if it goes on at once.
    async fn follow(
        &self,
        transaction: &mut Transaction,
        leased: &Leased,
        decision: Decision,
        commands: &mut Vec<Command>,
        now: UnixTime,
    ) -> Result<Option<Leased>, sqlx::Error> {
        let lease_until = now.plus(self.options.lease);
        Ok(match decision {
            Decision::Continue(step) => {
                Some(leased.go_on(transaction, step, None, lease_until).await?)
            }
            Decision::Again(pause) => {
                let pause = saga::spread(pause, leased.order_id, leased.attempts);
                leased.again(transaction, now.plus(pause)).await?;
                None
            }
            Decision::TurnRound { reason, undo: Some(step) } => {
                commands.push(Command::Cancel(reason));
                Some(leased.go_on(transaction, step, Some(reason), lease_until).await?)
            }
            Decision::TurnRound { reason, undo: None } => {
                commands.extend([Command::Cancel(reason), Command::FinishCancelling]);
                leased.end(transaction).await?;
                None
            }
            Decision::Confirm => {
                commands.push(Command::Confirm);
                leased.end(transaction).await?;
                None
            }
            Decision::FinishCancelling => {
                commands.push(Command::FinishCancelling);
                leased.end(transaction).await?;
                None
            }
        })
    }
}

fn position(leased: &Leased, order: &Order) -> Position {
    Position {
        step: leased.step,
        attempts: leased.attempts,
        cancelling: order.state() == State::Cancelling,
        deadline_at: leased.deadline_at,
    }
}

fn end_event(order: &Order, leased: &Leased, now: UnixTime) -> Option<Event> {
    match order.state() {
        State::Confirmed => Some(events::confirmed(order, now, &leased.context)),
        State::Cancelled => Some(events::cancelled(order, now, &leased.context)),
        State::Pending | State::Cancelling => None,
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the drive of a saga broke off");
    }
}
