//! The books: what was held, taken and given back, by currency, as this service has it and as the
//! processor does.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{AnyPool, Row};
use utoipa::ToSchema;

use crate::processor::{self, LedgerTotals};

/// Amounts in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Totals {
    /// Authorized, and neither taken nor let go.
    pub(crate) held: i64,
    /// All that was ever taken.
    pub(crate) captured: i64,
    /// What of it was given back.
    pub(crate) refunded: i64,
    /// What is left: captured less refunded.
    pub(crate) net: i64,
}

/// The books of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CurrencyBooks {
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub(crate) currency: String,
    /// As the payments' states have it.
    pub(crate) payments: Totals,
    /// As the processor's ledger has it. While payments are made it may be ahead by those.
    pub(crate) processor: Totals,
}

/// Each currency that was ever paid in.
pub(crate) async fn books(pool: &AnyPool) -> Result<Vec<CurrencyBooks>, sqlx::Error> {
    let mut books: BTreeMap<String, (Totals, Totals)> = BTreeMap::new();
    for (currency, totals) in payments(pool).await? {
        books.entry(currency).or_default().0 = totals;
    }
    for (currency, totals) in processor::totals(pool).await? {
        books.entry(currency).or_default().1 = of_ledger(totals);
    }
    let books = books.into_iter().map(|(currency, (payments, processor))| CurrencyBooks {
        currency,
        payments,
        processor,
    });
    Ok(books.collect())
}

async fn payments(pool: &AnyPool) -> Result<BTreeMap<String, Totals>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT currency, state, CAST(SUM(amount_minor) AS BIGINT) AS amount FROM payments \
         WHERE state IN ('authorized', 'captured', 'refunded') GROUP BY currency, state",
    )
    .fetch_all(pool)
    .await?;
    let mut books: BTreeMap<String, Totals> = BTreeMap::new();
    for row in &rows {
        let (state, amount): (&str, i64) = (row.try_get("state")?, row.try_get("amount")?);
        let totals = books.entry(row.try_get("currency")?).or_default();
        match state {
            "authorized" => totals.held += amount,
            "captured" => totals.captured += amount,
            // What was given back had been taken.
            _ => {
                totals.captured += amount;
                totals.refunded += amount;
            }
        }
        totals.net = totals.captured - totals.refunded;
    }
    Ok(books)
}

fn of_ledger(totals: LedgerTotals) -> Totals {
    Totals {
        held: totals.authorized - totals.captured - totals.voided,
        captured: totals.captured,
        refunded: totals.refunded,
        net: totals.captured - totals.refunded,
    }
}
