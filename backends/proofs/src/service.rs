//! The services by name, and what an auditor must know of each.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Users,
    Products,
    Payments,
    Orders,
    Notifications,
}

impl Service {
    pub const ALL: [Self; 5] =
        [Self::Users, Self::Products, Self::Payments, Self::Orders, Self::Notifications];

    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Products => "products",
            Self::Payments => "payments",
            Self::Orders => "orders",
            Self::Notifications => "notifications",
        }
    }

    /// The program that cargo builds.
    pub fn program(self) -> String {
        format!("shop-{}", self.name())
    }

    pub(crate) fn has_grpc(self) -> bool {
        matches!(self, Self::Products | Self::Payments)
    }

    /// Whether it has events of its own to tell.
    pub(crate) fn has_outbox(self) -> bool {
        self != Self::Notifications
    }

    /// The beginnings of the kinds of events that it hears, as the group of its own name.
    pub(crate) fn hears(self) -> &'static [&'static str] {
        match self {
            Self::Users | Self::Payments => &[],
            Self::Products => &["order.cancelled", "order.confirmed"],
            Self::Orders => &["payment."],
            Self::Notifications => &["user.", "order.", "payment."],
        }
    }

    /// Those that hear events.
    pub(crate) fn listeners() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|service| !service.hears().is_empty())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
