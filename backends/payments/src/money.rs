//! An amount of money: whole minor units of a currency, never a fraction.

use serde::Serialize;
use utoipa::ToSchema;

/// Ten billion of most currencies. Sums over millions of payments stay within 64 bits, and with them
/// the books.
const MOST: i64 = 1_000_000_000_000;

/// Exact, not negative, and no more than anything costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Money {
    /// Cents, where the currency has cents.
    #[schema(minimum = 0)]
    minor_units: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

impl Money {
    /// `None` for an amount below zero or beyond all measure, and for what is no currency's code.
    pub(crate) fn try_new(minor_units: i64, currency: &str) -> Option<Self> {
        let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
        ((0..=MOST).contains(&minor_units) && is_code)
            .then(|| Self { minor_units, currency: currency.to_owned() })
    }

    pub(crate) fn minor_units(&self) -> i64 {
        self.minor_units
    }

    pub(crate) fn currency(&self) -> &str {
        &self.currency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_and_not_negative() {
        let check = |minor_units, currency: &str, expected: bool| {
            let found = Money::try_new(minor_units, currency).is_some();
            assert_eq!(found, expected, "{minor_units} {currency:?}");
        };
        check(0, "EUR", true);
        check(MOST, "USD", true);
        check(MOST + 1, "USD", false);
        check(i64::MAX, "USD", false);
        check(-1, "EUR", false);
        for currency in ["", "EU", "EURO", "eur", "E R", "€"] {
            check(1, currency, false);
        }
    }
}
