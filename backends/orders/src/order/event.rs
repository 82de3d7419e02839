//! What can happen to an order, and how it is written down.
//!
//! Events outlive the program that wrote them. Each carries the version of its shape, `v`; older
//! shapes are brought up to date when they are read ([`upcast`]), fields that are not known are
//! passed over, and a shape from the future is an error rather than a guess.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::reason::Reason;
use crate::lines::{Money, PaymentMethod, PricedLine};

/// The shape in which events are written.
const SHAPE: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub(crate) enum OrderEvent {
    Placed(Placed),
    StockReserved {},
    PaymentAuthorized {},
    StockCommitted {},
    PaymentCaptured {},
    Confirmed {},
    /// From here on everything is undone.
    Cancelling {
        reason: Reason,
    },
    /// `refunded`: money had been taken; otherwise it was held at most.
    PaymentUndone {
        refunded: bool,
    },
    StockReleased {},
    Cancelled {
        reason: Reason,
        refunded: bool,
    },
    Complained {
        text: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) account_id: Uuid,
    pub(crate) lines: Vec<PricedLine>,
    pub(crate) total: Money,
    pub(crate) payment_method: PaymentMethod,
}

/// What another service has done for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fact {
    StockReserved,
    PaymentAuthorized,
    StockCommitted,
    PaymentCaptured,
    PaymentUndone { refunded: bool },
    StockReleased,
}

impl Fact {
    pub(super) fn event(self) -> OrderEvent {
        match self {
            Self::StockReserved => OrderEvent::StockReserved {},
            Self::PaymentAuthorized => OrderEvent::PaymentAuthorized {},
            Self::StockCommitted => OrderEvent::StockCommitted {},
            Self::PaymentCaptured => OrderEvent::PaymentCaptured {},
            Self::PaymentUndone { refunded } => OrderEvent::PaymentUndone { refunded },
            Self::StockReleased => OrderEvent::StockReleased {},
        }
    }

    pub(super) fn is_undoing(self) -> bool {
        matches!(self, Self::PaymentUndone { .. } | Self::StockReleased)
    }

    pub(super) fn is_same_kind(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// An event in the database that this program cannot make sense of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableEvent {
    #[error("an event {kind:?} has shape {shape}, which is newer than this program")]
    Newer { kind: String, shape: u64 },
    #[error("an event {kind:?} cannot be read: {source}")]
    Json { kind: String, source: serde_json::Error },
}

impl OrderEvent {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Placed(_) => "placed",
            Self::StockReserved {} => "stock_reserved",
            Self::PaymentAuthorized {} => "payment_authorized",
            Self::StockCommitted {} => "stock_committed",
            Self::PaymentCaptured {} => "payment_captured",
            Self::Confirmed {} => "confirmed",
            Self::Cancelling { .. } => "cancelling",
            Self::PaymentUndone { .. } => "payment_undone",
            Self::StockReleased {} => "stock_released",
            Self::Cancelled { .. } => "cancelled",
            Self::Complained { .. } => "complained",
        }
    }

    pub(super) fn fact(&self) -> Option<Fact> {
        match self {
            Self::StockReserved {} => Some(Fact::StockReserved),
            Self::PaymentAuthorized {} => Some(Fact::PaymentAuthorized),
            Self::StockCommitted {} => Some(Fact::StockCommitted),
            Self::PaymentCaptured {} => Some(Fact::PaymentCaptured),
            Self::PaymentUndone { refunded } => Some(Fact::PaymentUndone { refunded: *refunded }),
            Self::StockReleased {} => Some(Fact::StockReleased),
            Self::Placed(_)
            | Self::Confirmed {}
            | Self::Cancelling { .. }
            | Self::Cancelled { .. }
            | Self::Complained { .. } => None,
        }
    }

    /// What its customer may see of it: an object.
    pub(crate) fn data(&self) -> Value {
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        whole.get_mut("data").map(Value::take).unwrap_or_default()
    }

    /// What the database keeps of it.
    pub(crate) fn write(&self) -> String {
        let mut data = self.data();
        if let Some(fields) = data.as_object_mut() {
            fields.insert("v".to_owned(), SHAPE.into());
        }
        data.to_string()
    }

    pub(crate) fn read(kind: &str, data: &str) -> Result<Self, UnreadableEvent> {
        let unreadable = |source| UnreadableEvent::Json { kind: kind.to_owned(), source };
        let data = serde_json::from_str(data).map_err(unreadable)?;
        let data = upcast(kind, data)?;
        let whole = serde_json::json!({ "kind": kind, "data": data });
        serde_json::from_value(whole).map_err(unreadable)
    }
}

/// Brings the data of an older shape up to date: an arm for each that there ever was. The first
/// events had no `v`.
fn upcast(kind: &str, data: Value) -> Result<Value, UnreadableEvent> {
    match data.get("v").map_or(Some(SHAPE), Value::as_u64) {
        Some(SHAPE) => Ok(data),
        shape => {
            let shape = shape.unwrap_or_default();
            Err(UnreadableEvent::Newer { kind: kind.to_owned(), shape })
        }
    }
}
