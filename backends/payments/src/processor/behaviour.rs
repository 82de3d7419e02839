//! Test numbers: what the simulated processor does with a card is in its number.
//!
//! | number | what happens |
//! |---|---|
//! | 4242 4242 4242 4242, and every other valid number | it is authorized and captured |
//! | 4000 0000 0000 9995 | declined: `insufficient_funds` |
//! | 4000 0000 0000 0002 | declined: `card_declined` |
//! | 4000 0000 0000 0069 | declined: `expired_card` |
//! | 4100 0000 0000 0019 | declined: `fraud_suspected` |
//! | 4000 0000 0000 0101 | authorized, after `--processor-slow` |
//! | 4000 0000 0000 0119 | the first authorization for an order fails as unavailable, the next succeeds |
//! | 4000 0000 0000 0341 | authorized; the first capture for an order fails as unavailable, the next succeeds |
//!
//! A card of any number is declined as `expired_card` once its month has passed. The behaviour is
//! named in the card's token, so that nobody need keep the number.

use uuid::Uuid;

use crate::card::CardNumber;
use crate::processor::DeclineCode;

/// What becomes of a card's charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Approve,
    Decline(DeclineCode),
    Slow,
    UnavailableOnce,
    CaptureFailsOnce,
}

const PREFIX: &str = "tok_";

impl Behaviour {
    const ALL: [Self; 8] = [
        Self::Approve,
        Self::Decline(DeclineCode::InsufficientFunds),
        Self::Decline(DeclineCode::CardDeclined),
        Self::Decline(DeclineCode::ExpiredCard),
        Self::Decline(DeclineCode::FraudSuspected),
        Self::Slow,
        Self::UnavailableOnce,
        Self::CaptureFailsOnce,
    ];

    pub(crate) fn of(number: &CardNumber) -> Self {
        match number.reveal() {
            "4000000000009995" => Self::Decline(DeclineCode::InsufficientFunds),
            "4000000000000002" => Self::Decline(DeclineCode::CardDeclined),
            "4000000000000069" => Self::Decline(DeclineCode::ExpiredCard),
            "4100000000000019" => Self::Decline(DeclineCode::FraudSuspected),
            "4000000000000101" => Self::Slow,
            "4000000000000119" => Self::UnavailableOnce,
            "4000000000000341" => Self::CaptureFailsOnce,
            _ => Self::Approve,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline(code) => code.name(),
            Self::Slow => "slow",
            Self::UnavailableOnce => "unavailable_once",
            Self::CaptureFailsOnce => "capture_fails_once",
        }
    }

    /// A new token, like no other.
    pub(crate) fn token(self) -> String {
        format!("{PREFIX}{}_{}", self.name(), Uuid::new_v4().simple())
    }

    pub(crate) fn of_token(token: &str) -> Option<Self> {
        let (name, _) = token.strip_prefix(PREFIX)?.rsplit_once('_')?;
        Self::ALL.into_iter().find(|behaviour| behaviour.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_number_is_valid_and_behaves_as_documented() {
        let check = |number: &str, expected: Behaviour| {
            let number = CardNumber::try_new(number).expect(number);
            let behaviour = Behaviour::of(&number);
            assert_eq!(behaviour, expected);
            let token = behaviour.token();
            assert_eq!(Behaviour::of_token(&token), Some(expected), "{token}");
            assert!(!token.contains(number.reveal()));
        };
        check("4242 4242 4242 4242", Behaviour::Approve);
        check("5555 5555 5555 4444", Behaviour::Approve);
        check("4000 0000 0000 9995", Behaviour::Decline(DeclineCode::InsufficientFunds));
        check("4000 0000 0000 0002", Behaviour::Decline(DeclineCode::CardDeclined));
        check("4000 0000 0000 0069", Behaviour::Decline(DeclineCode::ExpiredCard));
        check("4100 0000 0000 0019", Behaviour::Decline(DeclineCode::FraudSuspected));
        check("4000 0000 0000 0101", Behaviour::Slow);
        check("4000 0000 0000 0119", Behaviour::UnavailableOnce);
        check("4000 0000 0000 0341", Behaviour::CaptureFailsOnce);
    }

    #[test]
    fn tokens_of_others_are_not_known() {
        for token in ["", "tok_", "tok_approve", "tok_other_0", "approve_0", "tok_slow"] {
            assert_eq!(Behaviour::of_token(token), None, "{token}");
        }
    }
}
