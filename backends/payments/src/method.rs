//! Payment methods: what a customer keeps of a card to pay with.

use shop_platform::{Transaction, UnixTime};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use uuid::Uuid;

use crate::card::{CardNumber, Expiry};
use crate::payment::{id, moment, unreadable};

/// More than anyone has cards.
pub(crate) const LIMIT_PER_ACCOUNT: i64 = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    pub(crate) brand: String,
    pub(crate) last4: String,
    pub(crate) expiry: Expiry,
    /// What the processor knows the card by.
    pub(crate) token: String,
    pub(crate) created_at: UnixTime,
}

impl Method {
    /// A new one: of the number only the last four digits stay.
    pub(crate) fn new(
        account: Uuid,
        number: &CardNumber,
        expiry: Expiry,
        token: String,
        now: UnixTime,
    ) -> Self {
        let brand = number.brand().name().to_owned();
        let last4 = number.last4().to_owned();
        Self { id: Uuid::now_v7(), account, brand, last4, expiry, token, created_at: now }
    }
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    method: &Method,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payment_methods \
         (id, account_id, brand, last4, expiry_month, expiry_year, token, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(method.id.to_string())
    .bind(method.account.to_string())
    .bind(&method.brand)
    .bind(&method.last4)
    .bind(i64::from(method.expiry.month()))
    .bind(i64::from(method.expiry.year()))
    .bind(&method.token)
    .bind(method.created_at.millis().cast_signed())
    .execute(&mut **transaction)
    .await
    .map(drop)
}

pub(crate) async fn count(
    transaction: &mut Transaction,
    account: Uuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM payment_methods WHERE account_id = $1")
        .bind(account.to_string())
        .fetch_one(&mut **transaction)
        .await
}

/// An account's methods, the oldest first.
pub(crate) async fn list(pool: &AnyPool, account: Uuid) -> Result<Vec<Method>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM payment_methods WHERE account_id = $1 ORDER BY id")
        .bind(account.to_string())
        .fetch_all(pool)
        .await?;
    rows.iter().map(method).collect()
}

/// A method of this account, and of no other.
pub(crate) async fn find(
    pool: &AnyPool,
    account: Uuid,
    id: Uuid,
) -> Result<Option<Method>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM payment_methods WHERE id = $1 AND account_id = $2")
        .bind(id.to_string())
        .bind(account.to_string())
        .fetch_optional(pool)
        .await?;
    row.map(|row| method(&row)).transpose()
}

fn method(row: &AnyRow) -> Result<Method, sqlx::Error> {
    let (month, year): (i64, i64) = (row.try_get("expiry_month")?, row.try_get("expiry_year")?);
    let expiry = month.try_into().ok().zip(year.try_into().ok());
    let expiry = expiry.and_then(|(month, year)| Expiry::try_new(month, year).ok());
    Ok(Method {
        id: id(row, "id")?,
        account: id(row, "account_id")?,
        brand: row.try_get("brand")?,
        last4: row.try_get("last4")?,
        expiry: expiry.ok_or_else(|| unreadable("expiry_year"))?,
        token: row.try_get("token")?,
        created_at: moment(row, "created_at")?,
    })
}
