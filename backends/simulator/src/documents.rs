//! The shop's answers, as far as a customer or the auditor reads them. What else is in them is left
//! alone: a service may add to its answers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) access_token: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) minor_units: i64,
    pub(crate) currency: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) price: Money,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ProductPage {
    pub(crate) items: Vec<Product>,
    pub(crate) pages: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Available {
    pub(crate) available: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PaymentMethod {
    pub(crate) id: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderState {
    Pending,
    Confirmed,
    Cancelling,
    Cancelled,
}

impl OrderState {
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Confirmed | Self::Cancelled)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Line {
    pub(crate) product_id: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) state: OrderState,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    pub(crate) refunded: bool,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Money,
    pub(crate) complaints: u32,
    pub(crate) version: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OrderPage {
    pub(crate) items: Vec<Order>,
    /// The path of the next page.
    #[serde(default)]
    pub(crate) next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct HistoryEvent {
    pub(crate) version: i64,
    pub(crate) kind: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct History {
    pub(crate) items: Vec<HistoryEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaymentStatus {
    Authorizing,
    Authorized,
    Captured,
    Declined,
    Voided,
    Refunded,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Payment {
    pub(crate) order_id: Uuid,
    pub(crate) amount: Money,
    pub(crate) status: PaymentStatus,
    #[serde(default)]
    pub(crate) decline_code: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PaymentPage {
    pub(crate) items: Vec<Payment>,
    #[serde(default)]
    pub(crate) next: Option<Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Notification {
    pub(crate) id: Uuid,
    /// The kind of the event: `order.confirmed`.
    pub(crate) kind: String,
    pub(crate) subject: String,
}

impl Notification {
    /// The order that it is about: its id stands in the subject.
    pub(crate) fn order(&self) -> Option<Uuid> {
        self.subject.split_whitespace().find_map(|word| word.parse().ok())
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct NotificationPage {
    pub(crate) items: Vec<Notification>,
    #[serde(default)]
    pub(crate) next: Option<Uuid>,
}

/// A frame of the feed.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told {
    Ready,
    Gap { missed: u64 },
    Notification(Notification),
}

/// Where a product's pieces are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ProductStock {
    pub(crate) product_id: String,
    pub(crate) supplied: i64,
    pub(crate) available: i64,
    pub(crate) reserved: i64,
    pub(crate) sold: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct StockBooks {
    pub(crate) products: Vec<ProductStock>,
}

/// The orders of one state in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct StateSum {
    pub(crate) state: OrderState,
    pub(crate) orders: i64,
    pub(crate) total: Money,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Unfinished {
    pub(crate) forward: i64,
    pub(crate) undo: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct OrderBooks {
    pub(crate) orders: Vec<StateSum>,
    pub(crate) unfinished_sagas: Unfinished,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Totals {
    pub(crate) held: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) net: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct CurrencyBooks {
    pub(crate) currency: String,
    pub(crate) payments: Totals,
    pub(crate) processor: Totals,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct PaymentBooks {
    pub(crate) currencies: Vec<CurrencyBooks>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_notification_names_its_order_in_its_subject() {
        let order = Uuid::from_u128(0x0198_f2c1_7d3e_7a44_9c55_3f0b_6c1d_2e4f);
        let check = |subject: String, expected: Option<Uuid>| {
            let told = Notification { id: Uuid::nil(), kind: "order.placed".to_owned(), subject };
            assert_eq!(told.order(), expected, "{}", told.subject);
        };
        check(format!("We have your order {order}"), Some(order));
        check(format!("Your order {order} is confirmed"), Some(order));
        check(format!("Nothing was charged for order {order}"), Some(order));
        check("Welcome to the shop".to_owned(), None);
        check(String::new(), None);
    }

    #[test]
    fn frames_of_the_feed_are_told_apart() {
        let id = Uuid::from_u128(7);
        let check = |frame: serde_json::Value, expected: Told| {
            assert_eq!(serde_json::from_value::<Told>(frame).unwrap(), expected);
        };
        check(json!({"type": "ready"}), Told::Ready);
        check(json!({"type": "gap", "missed": 3}), Told::Gap { missed: 3 });
        check(
            json!({"type": "notification", "id": id, "kind": "order.placed", "subject": "s",
                "body": "b", "created_at": "2026-01-01T00:00:00Z", "read_at": null,
                "letter": "sent"}),
            Told::Notification(Notification {
                id,
                kind: "order.placed".to_owned(),
                subject: "s".to_owned(),
            }),
        );
        assert!(serde_json::from_value::<Told>(json!({"type": "other"})).is_err());
    }

    #[test]
    fn an_order_is_read_with_and_without_a_reason() {
        let order = |reason: Option<&str>| {
            let mut order = json!({"id": Uuid::nil(), "state": "cancelled", "refunded": false,
                "lines": [{"product_id": "a", "quantity": 2,
                    "unit_price": {"minor_units": 5, "currency": "EUR"}}],
                "total": {"minor_units": 10, "currency": "EUR"}, "complaints": 0, "version": 3,
                "placed_at": "x", "changed_at": "y"});
            if let Some(reason) = reason {
                order["reason"] = reason.into();
            }
            serde_json::from_value::<Order>(order).unwrap()
        };
        assert_eq!(order(None).reason, None);
        let cancelled = order(Some("customer"));
        assert_eq!((cancelled.reason.as_deref(), cancelled.version), (Some("customer"), 3));
        assert!(cancelled.state.is_end());
    }
}
