//! What lines cost at this moment. Nothing is held by it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Row};

use super::{Inventory, InventoryError, Line};
use crate::catalogue::Money;
use crate::product_id::ProductId;

/// A line with the price of one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PricedLine {
    pub(crate) line: Line,
    pub(crate) unit_price: Money,
}

/// The lines in the order in which they were asked for, and what they cost together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) lines: Vec<PricedLine>,
    pub(crate) total: Money,
}

impl Inventory {
    /// Prices `lines`, of which there must be one at least.
    pub(crate) async fn quote(&self, lines: Vec<Line>) -> Result<Quote, InventoryError> {
        let products: BTreeSet<&ProductId> = lines.iter().map(|line| &line.product).collect();
        let prices = self.prices(&products).await?;
        let priced = lines.into_iter().map(|line| match prices.get(line.product.as_str()) {
            Some(price) => Ok(PricedLine { line, unit_price: price.clone() }),
            None => Err(InventoryError::UnknownProduct(line.product.to_string())),
        });
        let lines = priced.collect::<Result<Vec<_>, _>>()?;
        let total = total(&lines)?;
        Ok(Quote { lines, total })
    }

    async fn prices(
        &self,
        products: &BTreeSet<&ProductId>,
    ) -> Result<BTreeMap<String, Money>, sqlx::Error> {
        let places: Vec<String> = (1..=products.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT id, price_minor, price_currency FROM products WHERE id IN ({})",
            places.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for product in products {
            query = query.bind(product.as_str());
        }
        let rows = query.fetch_all(self.database.pool()).await?;
        let prices = rows.iter().map(|row| {
            let minor_units = row.try_get("price_minor")?;
            let price = Money { minor_units, currency: row.try_get("price_currency")? };
            Ok((row.try_get("id")?, price))
        });
        prices.collect()
    }
}

fn total(lines: &[PricedLine]) -> Result<Money, InventoryError> {
    let currency = lines.first().map(|line| line.unit_price.currency.clone()).unwrap_or_default();
    if lines.iter().any(|line| line.unit_price.currency != currency) {
        return Err(InventoryError::MixedCurrencies);
    }
    let minor_units = lines.iter().try_fold(0_i64, |sum, line| {
        sum.checked_add(line.unit_price.minor_units.checked_mul(line.line.quantity)?)
    });
    let minor_units = minor_units.ok_or(InventoryError::TooExpensive)?;
    Ok(Money { minor_units, currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(minor_units: i64, currency: &str, quantity: i64) -> PricedLine {
        let product = ProductId::try_new("a").unwrap();
        let unit_price = Money { minor_units, currency: currency.to_owned() };
        PricedLine { line: Line { product, quantity }, unit_price }
    }

    #[test]
    fn totals_are_exact_or_refused() {
        let check = |lines: &[PricedLine], expected: Option<i64>| {
            assert_eq!(total(lines).ok().map(|money| money.minor_units), expected);
        };
        check(&[priced(8900, "EUR", 2), priced(1, "EUR", 3)], Some(17_803));
        check(&[priced(0, "EUR", 1)], Some(0));
        check(&[priced(1, "EUR", 1), priced(1, "USD", 1)], None);
        check(&[priced(i64::MAX, "EUR", 1)], Some(i64::MAX));
        check(&[priced(i64::MAX, "EUR", 2)], None);
        check(&[priced(i64::MAX, "EUR", 1), priced(1, "EUR", 1)], None);
    }
}
