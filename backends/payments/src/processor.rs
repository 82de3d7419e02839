//! The seam to whoever moves the money: another company, in earnest; a simulation, here.
//!
//! Every operation names its order and may be repeated: the processor remembers the first answer
//! and gives it again. Whoever has crashed in between, or lost an answer, asks again and learns
//! what has become of it.

use shop_platform::BoxFuture;
use uuid::Uuid;

use crate::card::{CardNumber, Expiry};
use crate::money::Money;

mod behaviour;
mod ledger;
mod simulated;

pub(crate) use ledger::{LedgerTotals, totals};
pub(crate) use simulated::{Latency, Simulated};

/// What a processor does.
pub(crate) trait Processor: Send + Sync + 'static {
    /// Takes a card's number and gives a token to name the card by.
    fn tokenize<'a>(
        &'a self,
        number: &'a CardNumber,
    ) -> BoxFuture<'a, Result<String, ProcessorError>>;

    /// Holds an amount, or says why not.
    fn authorize<'a>(
        &'a self,
        charge: &'a Charge,
    ) -> BoxFuture<'a, Result<Authorization, ProcessorError>>;

    /// Does what can be done of `settlement`, and tells where the charge stands afterwards: a
    /// capture of what was voided answers [`Standing::Voided`], and so on.
    fn settle(
        &self,
        order: Uuid,
        settlement: Settlement,
    ) -> BoxFuture<'_, Result<Standing, ProcessorError>>;
}

/// An amount to be held on a card.
#[derive(Debug, Clone)]
pub(crate) struct Charge {
    pub(crate) order: Uuid,
    pub(crate) token: String,
    pub(crate) expiry: Expiry,
    pub(crate) amount: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authorization {
    Approved,
    Declined(DeclineCode),
}

/// Why a card's bank will not pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeclineCode {
    InsufficientFunds,
    CardDeclined,
    ExpiredCard,
    FraudSuspected,
}

impl DeclineCode {
    pub(crate) const ALL: [Self; 4] =
        [Self::InsufficientFunds, Self::CardDeclined, Self::ExpiredCard, Self::FraudSuspected];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::CardDeclined => "card_declined",
            Self::ExpiredCard => "expired_card",
            Self::FraudSuspected => "fraud_suspected",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

/// What is done with a charge that was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Takes what is held.
    Capture,
    /// Lets go of what is held.
    Void,
    /// Gives back what was taken.
    Refund,
}

/// Where a charge stands that was approved and settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Captured,
    Voided,
    Refunded,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessorError {
    /// Whether anything was done is not known: the operation is to be repeated.
    #[error("the processor cannot be reached")]
    Unavailable,
    #[error("the processor knows of no charge to settle for the order {0}")]
    UnknownCharge(Uuid),
    #[error("the processor did not give the token {0:?}")]
    UnknownToken(String),
    #[error("the processor's ledger says {0:?}, which it never wrote")]
    Stored(String),
    #[error("the processor's database failed: {0}")]
    Database(#[from] sqlx::Error),
}
