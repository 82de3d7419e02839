//! The saga's decisions: what to do after a step, given how it went. Pure.
//!
//! Forward: reserve stock, authorize payment, commit stock, capture payment; then the order is
//! confirmed, in the commit that records the capture. A refusal, the deadline or the customer turns
//! the saga round: payment is undone first, stock second, and the order is cancelled in the last
//! commit. Undone is whatever *may* have happened: a call that was not answered, or was begun by
//! a process that died, counts as done. What certainly did not happen is not undone.
//!
//! Sagas: H. Garcia-Molina and K. Salem, "Sagas", SIGMOD 1987.

use std::time::Duration;

use shop_platform::UnixTime;
use uuid::Uuid;

use crate::order::{Fact, Reason};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Undoing goes on for ever, so it troubles a service that is down less often.
const LONGEST_UNDO_BACKOFF: Duration = Duration::from_secs(30);

/// One call to another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Reserve,
    Authorize,
    CommitStock,
    Capture,
    UndoPayment,
    ReleaseStock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Undo,
}

impl Step {
    pub(crate) const ALL: [Self; 6] = [
        Self::Reserve,
        Self::Authorize,
        Self::CommitStock,
        Self::Capture,
        Self::UndoPayment,
        Self::ReleaseStock,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Authorize => "authorize",
            Self::CommitStock => "commit_stock",
            Self::Capture => "capture",
            Self::UndoPayment => "undo_payment",
            Self::ReleaseStock => "release_stock",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }

    /// As failpoints know it, at its call and at its commit.
    pub(crate) fn failpoint(self) -> &'static str {
        match self {
            Self::Reserve => "saga.reserve",
            Self::Authorize => "saga.authorize",
            Self::CommitStock => "saga.commit_stock",
            Self::Capture => "saga.capture",
            Self::UndoPayment => "saga.undo_payment",
            Self::ReleaseStock => "saga.release_stock",
        }
    }

    pub(crate) fn direction(self) -> Direction {
        match self {
            Self::Reserve | Self::Authorize | Self::CommitStock | Self::Capture => {
                Direction::Forward
            }
            Self::UndoPayment | Self::ReleaseStock => Direction::Undo,
        }
    }

    /// The first thing to undo when a saga turns round at this step, `None` for nothing at all.
    fn first_to_undo(self, may_have_happened: bool) -> Option<Self> {
        match (self, may_have_happened) {
            (Self::Reserve, false) => None,
            (Self::Reserve, true) | (Self::Authorize, false) => Some(Self::ReleaseStock),
            (Self::Authorize, true) | (Self::CommitStock | Self::Capture, _) => {
                Some(Self::UndoPayment)
            }
            (Self::UndoPayment | Self::ReleaseStock, _) => Some(self),
        }
    }
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Undo => "undo",
        }
    }
}

/// Where a saga stands while one of its steps is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) step: Step,
    /// How often the step was begun, this time included.
    pub(crate) attempts: u32,
    /// The order is no longer wanted.
    pub(crate) cancelling: bool,
    pub(crate) deadline_at: UnixTime,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Fact),
    /// Answered: it did not happen, and will not.
    Refused(Reason),
    /// Not answered: it may have happened, or happen yet.
    InDoubt,
    /// There was no point in trying ([`Position::is_pointless`]).
    NotTried,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Continue(Step),
    /// The same step once more, after a pause.
    Again(Duration),
    /// Cancel the order and undo, from `undo` on; without it there is nothing to undo, and the
    /// order is cancelled at once.
    TurnRound {
        reason: Reason,
        undo: Option<Step>,
    },
    Confirm,
    FinishCancelling,
}

impl Position {
    /// Whether a step forward would only have to be undone.
    pub(crate) fn is_pointless(&self, now: UnixTime) -> bool {
        self.step.direction() == Direction::Forward && (self.cancelling || now >= self.deadline_at)
    }

    fn turn_round(&self, reason: Reason, may_have_happened: bool) -> Decision {
        let reason = if self.cancelling { Reason::Customer } else { reason };
        Decision::TurnRound { reason, undo: self.step.first_to_undo(may_have_happened) }
    }
}

pub(crate) fn next(position: &Position, outcome: Outcome, now: UnixTime) -> Decision {
    let step = position.step;
    // An earlier try may be on its way still, and arrive after whatever was answered to this one.
    let was_begun_before = position.attempts > 1;
    match (step.direction(), outcome) {
        (Direction::Forward, Outcome::Done(_)) if position.cancelling => {
            position.turn_round(Reason::Customer, true)
        }
        (Direction::Forward, Outcome::Refused(reason)) => {
            position.turn_round(reason, was_begun_before)
        }
        (Direction::Forward, Outcome::InDoubt) if position.is_pointless(now) => {
            position.turn_round(Reason::TimedOut, true)
        }
        (Direction::Forward, Outcome::InDoubt) => {
            let left = position.deadline_at.since(now);
            Decision::Again(backoff(position.attempts, LONGEST_BACKOFF).min(left))
        }
        (Direction::Forward, Outcome::NotTried) => {
            position.turn_round(Reason::TimedOut, was_begun_before)
        }
        (_, Outcome::Done(_)) => match step {
            Step::Reserve => Decision::Continue(Step::Authorize),
            Step::Authorize => Decision::Continue(Step::CommitStock),
            Step::CommitStock => Decision::Continue(Step::Capture),
            Step::Capture => Decision::Confirm,
            Step::UndoPayment => Decision::Continue(Step::ReleaseStock),
            Step::ReleaseStock => Decision::FinishCancelling,
        },
        // What must be undone cannot be refused: an operator may have to mend what refuses it.
        (Direction::Undo, Outcome::Refused(_) | Outcome::InDoubt | Outcome::NotTried) => {
            Decision::Again(backoff(position.attempts, LONGEST_UNDO_BACKOFF))
        }
    }
}

/// Doubles with every attempt.
fn backoff(attempts: u32, longest: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_BACKOFF.saturating_mul(1 << doublings).min(longest)
}

/// Between half of `pause` and all of it, by the order and the attempt: orders that failed together
/// do not come back together.
pub(crate) fn spread(pause: Duration, order_id: Uuid, attempts: u32) -> Duration {
    // The low half of an id is random; another byte of it for each attempt.
    let chance = order_id.as_u128().rotate_right(attempts.wrapping_mul(8) % 56) & 0xff;
    let millis = pause.as_millis();
    let spread = millis / 2 + millis / 2 * chance / 255;
    Duration::from_millis(u64::try_from(spread).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
