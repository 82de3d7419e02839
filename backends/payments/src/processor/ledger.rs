//! The simulated processor's ledger: each operation once, by its order and its name.

use std::collections::BTreeMap;

use shop_platform::{Transaction, UnixTime};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use uuid::Uuid;

use super::{Authorization, Charge, DeclineCode, ProcessorError, Settlement, Standing};

const APPROVED: &str = "approved";
const AUTHORIZE: &str = "authorize";

impl Settlement {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
        }
    }
}

/// The first answer to an authorization, if there was one.
pub(crate) async fn authorization(
    transaction: &mut Transaction,
    order: Uuid,
) -> Result<Option<Authorization>, ProcessorError> {
    let outcome: Option<String> =
        sqlx::query_scalar("SELECT outcome FROM processor_operations WHERE idempotency_key = $1")
            .bind(key(order, AUTHORIZE))
            .fetch_optional(&mut **transaction)
            .await?;
    outcome.map(parse).transpose()
}

/// Whether it is the first for its order; whoever is writing the same one is waited for.
pub(crate) async fn authorize(
    transaction: &mut Transaction,
    charge: &Charge,
    outcome: Authorization,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let outcome = match outcome {
        Authorization::Approved => APPROVED,
        Authorization::Declined(code) => code.name(),
    };
    let written = sqlx::query(
        "INSERT INTO processor_operations (idempotency_key, order_id, operation, token, \
         amount_minor, currency, outcome, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (idempotency_key) DO NOTHING",
    )
    .bind(key(charge.order, AUTHORIZE))
    .bind(charge.order.to_string())
    .bind(AUTHORIZE)
    .bind(&charge.token)
    .bind(charge.amount.minor_units())
    .bind(charge.amount.currency())
    .bind(outcome)
    .bind(now.millis().cast_signed())
    .execute(&mut **transaction)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// A charge that was approved, and what has been done with it.
pub(crate) struct Approved {
    pub(crate) token: String,
    pub(crate) standing: Option<Standing>,
}

/// Locks an approved charge: of two settlements at once, one sees what the other did.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    order: Uuid,
) -> Result<Option<Approved>, ProcessorError> {
    let row = sqlx::query(
        "UPDATE processor_operations SET outcome = outcome \
         WHERE idempotency_key = $1 AND outcome = $2 RETURNING token",
    )
    .bind(key(order, AUTHORIZE))
    .bind(APPROVED)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let done: Vec<String> =
        sqlx::query_scalar("SELECT operation FROM processor_operations WHERE order_id = $1")
            .bind(order.to_string())
            .fetch_all(&mut **transaction)
            .await?;
    let has = |settlement: Settlement| done.iter().any(|name| name == settlement.name());
    let standing = if has(Settlement::Refund) {
        Some(Standing::Refunded)
    } else if has(Settlement::Capture) {
        Some(Standing::Captured)
    } else if has(Settlement::Void) {
        Some(Standing::Voided)
    } else {
        None
    };
    Ok(Some(Approved { token: row.try_get("token")?, standing }))
}

/// Writes a settlement of the whole charge, which is locked.
pub(crate) async fn settle(
    transaction: &mut Transaction,
    order: Uuid,
    settlement: Settlement,
    now: UnixTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO processor_operations (idempotency_key, order_id, operation, token, \
         amount_minor, currency, outcome, created_at) \
         SELECT $1, order_id, $2, token, amount_minor, currency, outcome, $3 \
         FROM processor_operations WHERE idempotency_key = $4",
    )
    .bind(key(order, settlement.name()))
    .bind(settlement.name())
    .bind(now.millis().cast_signed())
    .bind(key(order, AUTHORIZE))
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// Whether this is the first attempt at what fails once.
pub(crate) async fn fault(
    transaction: &mut Transaction,
    order: Uuid,
    operation: &str,
) -> Result<bool, sqlx::Error> {
    let written = sqlx::query(
        "INSERT INTO processor_faults (idempotency_key) VALUES ($1) \
         ON CONFLICT (idempotency_key) DO NOTHING",
    )
    .bind(key(order, operation))
    .execute(&mut **transaction)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// What the processor says it did, of one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LedgerTotals {
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) voided: i64,
    pub(crate) refunded: i64,
}

/// By currency.
pub(crate) async fn totals(pool: &AnyPool) -> Result<BTreeMap<String, LedgerTotals>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT currency, operation, CAST(SUM(amount_minor) AS BIGINT) AS amount \
         FROM processor_operations WHERE outcome = $1 GROUP BY currency, operation",
    )
    .bind(APPROVED)
    .fetch_all(pool)
    .await?;
    let mut totals: BTreeMap<String, LedgerTotals> = BTreeMap::new();
    for row in &rows {
        add(&mut totals, row)?;
    }
    Ok(totals)
}

fn add(totals: &mut BTreeMap<String, LedgerTotals>, row: &AnyRow) -> Result<(), sqlx::Error> {
    let amount = row.try_get("amount")?;
    let totals = totals.entry(row.try_get("currency")?).or_default();
    let operation: &str = row.try_get("operation")?;
    // The table's own check allows four.
    match operation {
        AUTHORIZE => totals.authorized = amount,
        "capture" => totals.captured = amount,
        "void" => totals.voided = amount,
        _ => totals.refunded = amount,
    }
    Ok(())
}

fn key(order: Uuid, operation: &str) -> String {
    format!("{order}:{operation}")
}

fn parse(outcome: String) -> Result<Authorization, ProcessorError> {
    if outcome == APPROVED {
        return Ok(Authorization::Approved);
    }
    match DeclineCode::parse(&outcome) {
        Some(code) => Ok(Authorization::Declined(code)),
        None => Err(ProcessorError::Stored(outcome)),
    }
}
