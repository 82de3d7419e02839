//! What an event means for a customer: the events that concern one, read from their data.
//!
//! It knows the shop's events and nothing of how a customer is told.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::line::Line;

/// The events that a customer is told of. Others pass: an authorized payment, for one, is no news
/// to who has just placed the order.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    Registered(Registered),
    OrderPlaced(OrderPlaced),
    OrderConfirmed(OrderConfirmed),
    OrderCancelled(OrderCancelled),
    PaymentDeclined(Payment),
    PaymentCaptured(Payment),
    PaymentVoided(Payment),
    PaymentRefunded(Payment),
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Registered {
    account_id: Uuid,
    pub(crate) email: Line,
    pub(crate) display_name: Line,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct OrderPlaced {
    account_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) lines: Vec<OrderLine>,
    pub(crate) total: Money,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct OrderLine {
    pub(crate) product_id: Line,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct OrderConfirmed {
    account_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) total: Money,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct OrderCancelled {
    account_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) reason: Line,
    pub(crate) refunded: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Payment {
    account_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) amount: Money,
    #[serde(default)]
    pub(crate) decline_code: Option<Line>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Money {
    pub(crate) minor_units: i64,
    pub(crate) currency: Line,
}

impl Notice {
    /// `None` for an event that no customer is told of. Fields beyond those needed are left
    /// alone: whoever sends the event may add to it.
    pub(crate) fn try_new(kind: &str, data: &Value) -> Result<Option<Self>, serde_json::Error> {
        let notice = match kind {
            "user.registered" => Self::Registered(read(data)?),
            "order.placed" => Self::OrderPlaced(read(data)?),
            "order.confirmed" => Self::OrderConfirmed(read(data)?),
            "order.cancelled" => Self::OrderCancelled(read(data)?),
            "payment.declined" => Self::PaymentDeclined(read(data)?),
            "payment.captured" => Self::PaymentCaptured(read(data)?),
            "payment.voided" => Self::PaymentVoided(read(data)?),
            "payment.refunded" => Self::PaymentRefunded(read(data)?),
            _ => return Ok(None),
        };
        Ok(Some(notice))
    }

    /// Whom it concerns.
    pub(crate) fn account(&self) -> Uuid {
        match self {
            Self::Registered(registered) => registered.account_id,
            Self::OrderPlaced(order) => order.account_id,
            Self::OrderConfirmed(order) => order.account_id,
            Self::OrderCancelled(order) => order.account_id,
            Self::PaymentDeclined(payment)
            | Self::PaymentCaptured(payment)
            | Self::PaymentVoided(payment)
            | Self::PaymentRefunded(payment) => payment.account_id,
        }
    }
}

/// The account that any event of ours names, if it names one.
pub(crate) fn account_of(data: &Value) -> Option<Uuid> {
    data.get("account_id")?.as_str()?.parse().ok()
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of(&text))
    }
}

fn read<T: DeserializeOwned>(data: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_notice_nothing_or_unusable() {
        let account = Uuid::now_v7();
        let whole = json!({"account_id": account, "order_id": Uuid::now_v7(), "payment_id": "p",
            "email": "ada@example.com", "display_name": "Ada", "reason": "out_of_stock",
            "refunded": false, "lines": [], "more": {"than": "is needed"},
            "amount": {"minor_units": 1, "currency": "EUR"},
            "total": {"minor_units": 1, "currency": "EUR"}});
        for kind in [
            "user.registered",
            "order.placed",
            "order.confirmed",
            "order.cancelled",
            "payment.declined",
            "payment.captured",
            "payment.voided",
            "payment.refunded",
        ] {
            let notice = Notice::try_new(kind, &whole).unwrap().unwrap();
            assert_eq!(notice.account(), account, "{kind}");
            assert!(Notice::try_new(kind, &json!({"account_id": account})).is_err(), "{kind}");
            assert!(Notice::try_new(kind, &Value::Null).is_err(), "{kind}");
        }
        for kind in ["payment.authorized", "user.renamed", "order.placed.v2", ""] {
            assert_eq!(Notice::try_new(kind, &whole).unwrap(), None, "{kind}");
        }
        assert_eq!(account_of(&whole), Some(account));
        assert_eq!(account_of(&json!({"account_id": 7})), None);
        assert_eq!(account_of(&json!([])), None);
    }
}
