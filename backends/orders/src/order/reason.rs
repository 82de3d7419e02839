//! Why an order is cancelled: a closed list, for customers, events and metrics alike.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Its customer asked for it.
    Customer,
    OutOfStock,
    /// The stock was held for too short a time.
    ReservationExpired,
    InsufficientFunds,
    CardDeclined,
    ExpiredCard,
    FraudSuspected,
    /// Declined, with a code that is none of the above.
    PaymentDeclined,
    /// The payment could not even be tried: there is no such payment method, say.
    PaymentRefused,
    /// It took too long: some service did not answer.
    TimedOut,
}

impl Reason {
    pub(crate) const ALL: [Self; 10] = [
        Self::Customer,
        Self::OutOfStock,
        Self::ReservationExpired,
        Self::InsufficientFunds,
        Self::CardDeclined,
        Self::ExpiredCard,
        Self::FraudSuspected,
        Self::PaymentDeclined,
        Self::PaymentRefused,
        Self::TimedOut,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::OutOfStock => "out_of_stock",
            Self::ReservationExpired => "reservation_expired",
            Self::InsufficientFunds => "insufficient_funds",
            Self::CardDeclined => "card_declined",
            Self::ExpiredCard => "expired_card",
            Self::FraudSuspected => "fraud_suspected",
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentRefused => "payment_refused",
            Self::TimedOut => "timed_out",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// What the payments service's decline code means here.
    pub(crate) fn declined(code: &str) -> Self {
        match code {
            "insufficient_funds" => Self::InsufficientFunds,
            "card_declined" => Self::CardDeclined,
            "expired_card" => Self::ExpiredCard,
            "fraud_suspected" => Self::FraudSuspected,
            _ => Self::PaymentDeclined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_spelling() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!(Reason::parse("Customer"), None);
        assert_eq!(Reason::declined("fraud_suspected"), Reason::FraudSuspected);
        assert_eq!(Reason::declined("moon_in_the_wrong_house"), Reason::PaymentDeclined);
    }
}
