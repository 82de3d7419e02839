//! Payments in the database, and the states that they go through.
//!
//! ```text
//! (none) -> authorizing -> authorized -> captured -> refunded
//!    |           |              '-> voided
//!    |           '-> declined
//!    '-> tombstone
//! ```
//!
//! `authorizing` is written before the processor is asked: whoever crashes after that leaves a
//! trace of what may be held. A state changes by one statement that names the state before.

use shop_platform::{Transaction, UnixTime};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use uuid::Uuid;

use crate::money::Money;
use crate::processor::DeclineCode;

/// Who pays what, and how: the same for every repetition of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) account: Uuid,
    /// The payment method's id.
    pub(crate) method: Uuid,
    pub(crate) amount: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The processor is being asked, or was when somebody crashed.
    Authorizing,
    Authorized,
    Declined(DeclineCode),
    Captured,
    Voided,
    Refunded,
}

const TOMBSTONE: &str = "tombstone";

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authorizing => "authorizing",
            Self::Authorized => "authorized",
            Self::Declined(_) => "declined",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
        }
    }

    pub(crate) fn decline_code(self) -> Option<DeclineCode> {
        match self {
            Self::Declined(code) => Some(code),
            Self::Authorizing
            | Self::Authorized
            | Self::Captured
            | Self::Voided
            | Self::Refunded => None,
        }
    }

    fn parse(name: &str, decline_code: Option<&str>) -> Option<Self> {
        match (name, decline_code) {
            ("declined", Some(code)) => DeclineCode::parse(code).map(Self::Declined),
            ("authorizing", None) => Some(Self::Authorizing),
            ("authorized", None) => Some(Self::Authorized),
            ("captured", None) => Some(Self::Captured),
            ("voided", None) => Some(Self::Voided),
            ("refunded", None) => Some(Self::Refunded),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) order: Uuid,
    pub(crate) terms: Terms,
    pub(crate) state: State,
    pub(crate) created_at: UnixTime,
    pub(crate) changed_at: UnixTime,
}

/// What is known of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Payment(Payment),
    /// It was undone before it was ever to be paid.
    Tombstone {
        id: Uuid,
    },
}

pub(crate) async fn find(pool: &AnyPool, order: Uuid) -> Result<Option<Record>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM payments WHERE order_id = $1")
        .bind(order.to_string())
        .fetch_optional(pool)
        .await?;
    row.map(|row| record(&row)).transpose()
}

/// An account's payments, the latest first; `before` is the last of the page before.
pub(crate) async fn list(
    pool: &AnyPool,
    account: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Payment>, sqlx::Error> {
    // Ids begin with the time.
    let before = before.unwrap_or(Uuid::max());
    let rows = sqlx::query(
        "SELECT * FROM payments WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(account.to_string())
    .bind(before.to_string())
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.iter().map(payment).collect()
}

/// Writes that the processor is going to be asked, unless the order is known already.
pub(crate) async fn begin(
    transaction: &mut Transaction,
    order: Uuid,
    terms: &Terms,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO payments (id, order_id, state, account_id, method_id, amount_minor, \
         currency, created_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(order.to_string())
    .bind(State::Authorizing.name())
    .bind(terms.account.to_string())
    .bind(terms.method.to_string())
    .bind(terms.amount.minor_units())
    .bind(terms.amount.currency())
    .bind(now.millis().cast_signed())
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Remembers that the order is not to be paid, unless it is known already.
pub(crate) async fn bury(
    transaction: &mut Transaction,
    order: Uuid,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO payments (id, order_id, state, created_at, changed_at) \
         VALUES ($1, $2, $3, $4, $4) ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(order.to_string())
    .bind(TOMBSTONE)
    .bind(now.millis().cast_signed())
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Whether it was in the state `from`, and is in `to` now.
pub(crate) async fn advance(
    transaction: &mut Transaction,
    order: Uuid,
    from: State,
    to: State,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let advanced = sqlx::query(
        "UPDATE payments SET state = $1, decline_code = $2, changed_at = $3 \
         WHERE order_id = $4 AND state = $5",
    )
    .bind(to.name())
    .bind(to.decline_code().map(DeclineCode::name))
    .bind(now.millis().cast_signed())
    .bind(order.to_string())
    .bind(from.name())
    .execute(&mut **transaction)
    .await?;
    Ok(advanced.rows_affected() == 1)
}

fn record(row: &AnyRow) -> Result<Record, sqlx::Error> {
    if row.try_get::<&str, _>("state")? == TOMBSTONE {
        return Ok(Record::Tombstone { id: id(row, "id")? });
    }
    payment(row).map(Record::Payment)
}

fn payment(row: &AnyRow) -> Result<Payment, sqlx::Error> {
    let state = State::parse(row.try_get("state")?, row.try_get("decline_code")?);
    let amount = Money::try_new(row.try_get("amount_minor")?, row.try_get("currency")?);
    let terms = Terms {
        account: id(row, "account_id")?,
        method: id(row, "method_id")?,
        amount: amount.ok_or_else(|| unreadable("amount_minor"))?,
    };
    Ok(Payment {
        id: id(row, "id")?,
        order: id(row, "order_id")?,
        terms,
        state: state.ok_or_else(|| unreadable("state"))?,
        created_at: moment(row, "created_at")?,
        changed_at: moment(row, "changed_at")?,
    })
}

pub(crate) fn id(row: &AnyRow, column: &'static str) -> Result<Uuid, sqlx::Error> {
    Uuid::parse_str(row.try_get(column)?).map_err(|_| unreadable(column))
}

pub(crate) fn moment(row: &AnyRow, column: &'static str) -> Result<UnixTime, sqlx::Error> {
    let millis: i64 = row.try_get(column)?;
    Ok(UnixTime::from_millis(millis.cast_unsigned()))
}

/// A column that holds what was never written there.
pub(crate) fn unreadable(column: &'static str) -> sqlx::Error {
    let source = "not a value that was ever written here".into();
    sqlx::Error::ColumnDecode { index: column.to_owned(), source }
}
