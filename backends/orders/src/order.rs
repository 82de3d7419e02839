//! The order as an aggregate: what may happen to it, decided from what has happened so far.
//!
//! It is pure. A command is answered by events ([`Order::decide`]), and events alone change an
//! order ([`Order::apply`]). It knows no database, no clock and no other service, and not in which
//! order the steps of a purchase are taken: that is the saga's.

use serde::{Deserialize, Serialize};
use shop_platform::UnixTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::lines::{Money, PaymentMethod, PricedLine};

mod event;
mod reason;

pub(crate) use event::{Fact, OrderEvent, Placed, UnreadableEvent};
pub(crate) use reason::Reason;

/// Complaints that are kept of one order.
pub(crate) const MAX_COMPLAINTS: usize = 10;

/// Where an order stands, as its customer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Placed; stock and payment are being seen to.
    Pending,
    /// Bought and paid.
    Confirmed,
    /// Whatever was done for it is being undone.
    Cancelling,
    /// Nothing of it is left, and no money.
    Cancelled,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Confirmed, Self::Cancelling, Self::Cancelled];
        all.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it stays as it is unless its customer acts.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Cancelled)
    }
}

/// An order as of its `version`, the number of events that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    id: Uuid,
    version: i64,
    account_id: Uuid,
    lines: Vec<PricedLine>,
    total: Money,
    payment_method: PaymentMethod,
    state: State,
    /// What the other services have done for it, in that order.
    facts: Vec<Fact>,
    reason: Option<Reason>,
    complaints: Vec<String>,
    /// Milliseconds since 1970.
    placed_at: u64,
    changed_at: u64,
}

/// What is asked of an order that was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Another service has done its part.
    Record(Fact),
    Confirm,
    Cancel(Reason),
    /// Everything that was done for it is undone.
    FinishCancelling,
    Complain(String),
}

/// Why a command does not lead to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A mistake of the program: the saga does not ask for it.
    #[error("an order that is {0:?} cannot do that")]
    OutOfTurn(State),
    #[error("the order has as many complaints as are kept")]
    TooManyComplaints,
}

impl Order {
    /// An order begins by being placed; `None` for any other event.
    pub(crate) fn begin(id: Uuid, event: &OrderEvent, at: UnixTime) -> Option<Self> {
        let OrderEvent::Placed(placed) = event else { return None };
        let Placed { account_id, lines, total, payment_method } = placed.clone();
        Some(Self {
            id,
            version: 1,
            account_id,
            lines,
            total,
            payment_method,
            state: State::Pending,
            facts: Vec::new(),
            reason: None,
            complaints: Vec::new(),
            placed_at: at.millis(),
            changed_at: at.millis(),
        })
    }

    /// The events that answer `command`; none if all of it has happened already.
    pub(crate) fn decide(&self, command: Command) -> Result<Vec<OrderEvent>, Refusal> {
        let out_of_turn = Err(Refusal::OutOfTurn(self.state));
        let event = match (command, self.state) {
            (Command::Record(fact), _) if self.has(fact) => return Ok(Vec::new()),
            (Command::Record(fact), State::Pending) if !fact.is_undoing() => fact.event(),
            // What was on its way when the order was cancelled may still happen.
            (Command::Record(fact), State::Cancelling) => fact.event(),
            (Command::Record(_), _) => return out_of_turn,

            (Command::Confirm, State::Confirmed) => return Ok(Vec::new()),
            (Command::Confirm, State::Pending) if self.is_complete() => OrderEvent::Confirmed {},
            (Command::Confirm, _) => return out_of_turn,

            // The first reason is the reason.
            (Command::Cancel(_), State::Cancelling | State::Cancelled) => return Ok(Vec::new()),
            (Command::Cancel(reason), State::Pending)
            | (Command::Cancel(reason @ Reason::Customer), State::Confirmed) => {
                OrderEvent::Cancelling { reason }
            }
            (Command::Cancel(_), State::Confirmed) => return out_of_turn,

            (Command::FinishCancelling, State::Cancelled) => return Ok(Vec::new()),
            (Command::FinishCancelling, State::Cancelling) => {
                let reason = self.reason.unwrap_or(Reason::Customer);
                OrderEvent::Cancelled { reason, refunded: self.refunded() }
            }
            (Command::FinishCancelling, _) => return out_of_turn,

            // The same words again are the same complaint, sent twice.
            (Command::Complain(text), _) if self.complaints.contains(&text) => {
                return Ok(Vec::new());
            }
            (Command::Complain(_), _) if self.complaints.len() >= MAX_COMPLAINTS => {
                return Err(Refusal::TooManyComplaints);
            }
            (Command::Complain(text), _) => OrderEvent::Complained { text },
        };
        Ok(vec![event])
    }

    /// Follows an event, which has happened: there is nothing to refuse.
    pub(crate) fn apply(&mut self, event: &OrderEvent, at: UnixTime) {
        self.version += 1;
        self.changed_at = at.millis();
        match event {
            OrderEvent::Placed(_) => {}
            OrderEvent::Confirmed {} => self.state = State::Confirmed,
            OrderEvent::Cancelling { reason } => {
                self.state = State::Cancelling;
                self.reason = Some(*reason);
            }
            OrderEvent::Cancelled { reason, .. } => {
                self.state = State::Cancelled;
                self.reason = Some(*reason);
            }
            OrderEvent::Complained { text } => self.complaints.push(text.clone()),
            OrderEvent::StockReserved {}
            | OrderEvent::PaymentAuthorized {}
            | OrderEvent::StockCommitted {}
            | OrderEvent::PaymentCaptured {}
            | OrderEvent::PaymentUndone { .. }
            | OrderEvent::StockReleased {} => self.facts.extend(event.fact()),
        }
    }

    fn has(&self, fact: Fact) -> bool {
        self.facts.iter().any(|known| known.is_same_kind(fact))
    }

    fn is_complete(&self) -> bool {
        let needed = [
            Fact::StockReserved,
            Fact::PaymentAuthorized,
            Fact::StockCommitted,
            Fact::PaymentCaptured,
        ];
        needed.into_iter().all(|fact| self.has(fact))
    }

    /// Whether money that had been taken was given back.
    pub(crate) fn refunded(&self) -> bool {
        self.facts.contains(&Fact::PaymentUndone { refunded: true })
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    pub(crate) fn account_id(&self) -> Uuid {
        self.account_id
    }

    pub(crate) fn lines(&self) -> &[PricedLine] {
        &self.lines
    }

    pub(crate) fn total(&self) -> &Money {
        &self.total
    }

    pub(crate) fn payment_method(&self) -> &PaymentMethod {
        &self.payment_method
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    pub(crate) fn placed_at(&self) -> UnixTime {
        UnixTime::from_millis(self.placed_at)
    }

    pub(crate) fn changed_at(&self) -> UnixTime {
        UnixTime::from_millis(self.changed_at)
    }
}

#[cfg(test)]
mod tests;
