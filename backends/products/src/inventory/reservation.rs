//! Reservations in the database, and the states that they go through.
//!
//! ```text
//! (none) -> held -> committed -> returned
//!    |        |--> released
//!    |        '--> expired
//!    '--> tombstone
//! ```
//!
//! A state changes by one statement that names the state before: of a commit and an expiry at
//! once, one finds it changed.

use shop_platform::{Transaction, UnixTime};
use sqlx::Row;
use uuid::Uuid;

use super::{InventoryError, Line, Lines};
use crate::product_id::ProductId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Held,
    Committed,
    Released,
    Expired,
    Returned,
    /// Released before it was ever reserved.
    Tombstone,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Held,
        Self::Committed,
        Self::Released,
        Self::Expired,
        Self::Returned,
        Self::Tombstone,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Returned => "returned",
            Self::Tombstone => "tombstone",
        }
    }

    fn parse(name: &str) -> Result<Self, InventoryError> {
        let state = Self::ALL.into_iter().find(|state| state.name() == name);
        state.ok_or_else(|| InventoryError::Stored(name.to_owned()))
    }
}

/// A reservation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) state: State,
    pub(crate) expires_at: UnixTime,
    pub(crate) lines: Lines,
}

impl Reservation {
    /// The answer to a call that asks for it once more.
    pub(crate) fn repeated(self, lines: &Lines) -> Result<UnixTime, InventoryError> {
        match self.state {
            State::Tombstone => Err(InventoryError::Released),
            _ if self.lines != *lines => Err(InventoryError::OtherLines),
            State::Held | State::Committed => Ok(self.expires_at),
            State::Released | State::Returned => Err(InventoryError::Released),
            State::Expired => Err(InventoryError::Expired),
        }
    }
}

/// Whether the id was free; whoever is inserting the same one is waited for.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    id: Uuid,
    state: State,
    expires_at: UnixTime,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO reservations (id, state, expires_at, created_at, changed_at) \
         VALUES ($1, $2, $3, $4, $4) ON CONFLICT (id) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(state.name())
    .bind(expires_at.millis().cast_signed())
    .bind(now.millis().cast_signed())
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn insert_lines(
    transaction: &mut Transaction,
    id: Uuid,
    lines: &Lines,
) -> Result<(), sqlx::Error> {
    for (product, quantity) in lines.iter() {
        sqlx::query(
            "INSERT INTO reservation_lines (reservation_id, product_id, quantity) \
             VALUES ($1, $2, $3)",
        )
        .bind(id.to_string())
        .bind(product.as_str())
        .bind(quantity)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

/// Whether it was in the state `from`, and is in `to` now.
pub(crate) async fn advance(
    transaction: &mut Transaction,
    id: Uuid,
    from: State,
    to: State,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let advanced = sqlx::query(
        "UPDATE reservations SET state = $1, changed_at = $2 WHERE id = $3 AND state = $4",
    )
    .bind(to.name())
    .bind(now.millis().cast_signed())
    .bind(id.to_string())
    .bind(from.name())
    .execute(&mut **transaction)
    .await?;
    Ok(advanced.rows_affected() == 1)
}

/// Like [`advance`] from held to expired, for one whose time has passed.
pub(crate) async fn expire(
    transaction: &mut Transaction,
    id: Uuid,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let expired = sqlx::query(
        "UPDATE reservations SET state = $1, changed_at = $2 \
         WHERE id = $3 AND state = $4 AND expires_at <= $2",
    )
    .bind(State::Expired.name())
    .bind(now.millis().cast_signed())
    .bind(id.to_string())
    .bind(State::Held.name())
    .execute(&mut **transaction)
    .await?;
    Ok(expired.rows_affected() == 1)
}

pub(crate) async fn find(
    transaction: &mut Transaction,
    id: Uuid,
) -> Result<Option<Reservation>, InventoryError> {
    let row = sqlx::query("SELECT state, expires_at FROM reservations WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state = State::parse(row.try_get("state")?)?;
    let expires_at: i64 = row.try_get("expires_at")?;
    let expires_at = UnixTime::from_millis(expires_at.cast_unsigned());
    Ok(Some(Reservation { state, expires_at, lines: lines(transaction, id).await? }))
}

pub(crate) async fn lines(
    transaction: &mut Transaction,
    id: Uuid,
) -> Result<Lines, InventoryError> {
    let rows =
        sqlx::query("SELECT product_id, quantity FROM reservation_lines WHERE reservation_id = $1")
            .bind(id.to_string())
            .fetch_all(&mut **transaction)
            .await?;
    let lines = rows.iter().map(|row| {
        let product: &str = row.try_get("product_id")?;
        let id = ProductId::try_new(product);
        let product = id.ok_or_else(|| InventoryError::Stored(product.to_owned()))?;
        Ok(Line { product, quantity: row.try_get("quantity")? })
    });
    lines.collect()
}
