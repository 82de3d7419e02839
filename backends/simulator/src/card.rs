//! The cards that customers pay with: the test numbers of the payments service, and what each does.

use fastrand::Rng;

/// A card by what becomes of its charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Card {
    Good,
    /// Authorized, after a while.
    Slow,
    /// The first authorization for an order fails as unavailable.
    UnavailableOnce,
    /// So does the first capture.
    CaptureFailsOnce,
    InsufficientFunds,
    Declined,
    Expired,
    FraudSuspected,
}

/// Of a hundred cards, roughly.
const SHARES: [(Card, u32); 8] = [
    (Card::Good, 52),
    (Card::Slow, 2),
    (Card::UnavailableOnce, 8),
    (Card::CaptureFailsOnce, 8),
    (Card::InsufficientFunds, 10),
    (Card::Declined, 10),
    (Card::Expired, 5),
    (Card::FraudSuspected, 5),
];

impl Card {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        crate::behaviour::weighted(random, &SHARES).unwrap_or(Self::Good)
    }

    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Good => "4242 4242 4242 4242",
            Self::Slow => "4000 0000 0000 0101",
            Self::UnavailableOnce => "4000 0000 0000 0119",
            Self::CaptureFailsOnce => "4000 0000 0000 0341",
            Self::InsufficientFunds => "4000 0000 0000 9995",
            Self::Declined => "4000 0000 0000 0002",
            Self::Expired => "4000 0000 0000 0069",
            Self::FraudSuspected => "4100 0000 0000 0019",
        }
    }

    /// The code with which it is declined, if it is.
    pub(crate) fn decline_code(self) -> Option<&'static str> {
        match self {
            Self::Good | Self::Slow | Self::UnavailableOnce | Self::CaptureFailsOnce => None,
            Self::InsufficientFunds => Some("insufficient_funds"),
            Self::Declined => Some("card_declined"),
            Self::Expired => Some("expired_card"),
            Self::FraudSuspected => Some("fraud_suspected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_documented_card_is_drawn_and_most_are_good() {
        let mut random = Rng::with_seed(1);
        let drawn: Vec<Card> = (0..1000).map(|_| Card::draw(&mut random)).collect();
        let kinds: BTreeSet<Card> = drawn.iter().copied().collect();
        assert_eq!(kinds.len(), SHARES.len());
        let declined = drawn.iter().filter(|card| card.decline_code().is_some()).count();
        assert!((200..400).contains(&declined), "{declined}");
    }

    #[test]
    fn numbers_are_those_of_the_documentation() {
        let document = include_str!("../../payments/test-numbers.md");
        for (card, _) in SHARES {
            let number = card.number();
            let line = document.lines().find(|line| line.contains(number)).expect(number);
            let declined = card.decline_code();
            assert_eq!(line.contains("declined"), declined.is_some(), "{line}");
            assert!(declined.is_none_or(|code| line.contains(code)), "{line}");
        }
    }
}
