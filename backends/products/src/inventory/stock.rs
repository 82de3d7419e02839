//! The books: for each product what was supplied, and where it is now.
//!
//! One statement moves pieces from one column to another, and only if they are there. The table's
//! own checks stand behind it: no figure below zero, and `supplied = available + reserved + sold`.

use serde::Serialize;
use shop_platform::Transaction;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use utoipa::ToSchema;

use crate::product_id::ProductId;

/// Where a product's pieces are: `supplied` is the sum of the other three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Figures {
    /// All that ever came in.
    pub(crate) supplied: i64,
    /// What can be reserved.
    pub(crate) available: i64,
    /// What is held for orders in progress.
    pub(crate) reserved: i64,
    pub(crate) sold: i64,
}

/// A product's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProductStock {
    pub(crate) product_id: String,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

impl std::iter::Sum for Figures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), |sum, next| Self {
            supplied: sum.supplied + next.supplied,
            available: sum.available + next.available,
            reserved: sum.reserved + next.reserved,
            sold: sum.sold + next.sold,
        })
    }
}

/// From where to where pieces go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// Available to reserved.
    Hold,
    /// Reserved to available.
    GiveBack,
    /// Reserved to sold.
    Sell,
    /// Sold to available.
    TakeBack,
}

impl Move {
    fn sql(self) -> &'static str {
        match self {
            Self::Hold => {
                "UPDATE stock SET available = available - $1, reserved = reserved + $1 \
                 WHERE product_id = $2 AND available >= $1"
            }
            Self::GiveBack => {
                "UPDATE stock SET reserved = reserved - $1, available = available + $1 \
                 WHERE product_id = $2 AND reserved >= $1"
            }
            Self::Sell => {
                "UPDATE stock SET reserved = reserved - $1, sold = sold + $1 \
                 WHERE product_id = $2 AND reserved >= $1"
            }
            Self::TakeBack => {
                "UPDATE stock SET sold = sold - $1, available = available + $1 \
                 WHERE product_id = $2 AND sold >= $1"
            }
        }
    }
}

/// Whether there were enough: if not, nothing has moved.
pub(crate) async fn shift(
    transaction: &mut Transaction,
    product: &ProductId,
    quantity: i64,
    movement: Move,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(movement.sql())
        .bind(quantity)
        .bind(product.as_str())
        .execute(&mut **transaction)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Begins the books of a product; those that have begun are left alone.
pub(crate) async fn open(
    transaction: &mut Transaction,
    product: &ProductId,
    quantity: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO stock (product_id, supplied, available, reserved, sold) \
         VALUES ($1, $2, $2, 0, 0) ON CONFLICT (product_id) DO NOTHING",
    )
    .bind(product.as_str())
    .bind(quantity)
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// Adds what came in.
pub(crate) async fn supply(
    transaction: &mut Transaction,
    product: &ProductId,
    quantity: i64,
) -> Result<ProductStock, sqlx::Error> {
    let row = sqlx::query(
        "INSERT INTO stock (product_id, supplied, available, reserved, sold) \
         VALUES ($1, $2, $2, 0, 0) ON CONFLICT (product_id) DO UPDATE SET \
         supplied = stock.supplied + excluded.supplied, \
         available = stock.available + excluded.available \
         RETURNING product_id, supplied, available, reserved, sold",
    )
    .bind(product.as_str())
    .bind(quantity)
    .fetch_one(&mut **transaction)
    .await?;
    product_stock(&row)
}

pub(crate) async fn product_exists(
    transaction: &mut Transaction,
    product: &ProductId,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query("SELECT id FROM products WHERE id = $1")
        .bind(product.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(found.is_some())
}

/// All books of one moment, by product.
pub(crate) async fn books(pool: &AnyPool) -> Result<Vec<ProductStock>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT product_id, supplied, available, reserved, sold FROM stock ORDER BY product_id",
    )
    .fetch_all(pool)
    .await?;
    rows.iter().map(product_stock).collect()
}

/// How many of a product can be reserved now; `None` if there is no such product.
pub(crate) async fn available(
    pool: &AnyPool,
    product: &ProductId,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT COALESCE(stock.available, 0) FROM products \
         LEFT JOIN stock ON stock.product_id = products.id WHERE products.id = $1",
    )
    .bind(product.as_str())
    .fetch_optional(pool)
    .await
}

fn product_stock(row: &AnyRow) -> Result<ProductStock, sqlx::Error> {
    Ok(ProductStock {
        product_id: row.try_get("product_id")?,
        figures: Figures {
            supplied: row.try_get("supplied")?,
            available: row.try_get("available")?,
            reserved: row.try_get("reserved")?,
            sold: row.try_get("sold")?,
        },
    })
}
