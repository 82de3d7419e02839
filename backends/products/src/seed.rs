//! The demo's catalogue, embedded, so that a fresh start has something to sell.
//!
//! Its stock is where the books begin, not a change of them: no event tells of it.

use serde::Deserialize;
use shop_platform::Database;

use crate::catalogue::{self, Entry};
use crate::inventory::stock;
use crate::product_id::ProductId;

const PRODUCTS: &str = include_str!("../seed/products.json");
const ANY: &str = "SELECT count(*) FROM (SELECT id FROM products LIMIT 1) AS one";

#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    #[error("the embedded products cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the embedded product {0:?} has no usable id")]
    Id(String),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedProduct<'a> {
    id: &'a str,
    name: &'a str,
    category: &'a str,
    description: &'a str,
    price_minor: i64,
    currency: &'a str,
}

/// All products or none: whoever is killed in between starts over, and a catalogue that anyone
/// has touched is left alone. Each product gets `stock` pieces.
pub(crate) async fn fill_if_empty(database: &Database, stock: u32) -> Result<(), SeedError> {
    if sqlx::query_scalar::<_, i64>(ANY).fetch_one(database.pool()).await? > 0 {
        return Ok(());
    }
    let products: Vec<SeedProduct<'_>> = serde_json::from_str(PRODUCTS)?;
    let mut transaction = database.begin_write().await?;
    if sqlx::query_scalar::<_, i64>(ANY).fetch_one(&mut *transaction).await? > 0 {
        return Ok(());
    }
    for product in &products {
        let id = ProductId::try_new(product.id).ok_or_else(|| SeedError::Id(product.id.into()))?;
        let entry = Entry {
            id: &id,
            name: product.name,
            category: product.category,
            description: product.description,
            price_minor: product.price_minor,
            currency: product.currency,
        };
        catalogue::write(&mut transaction, entry).await?;
        if stock > 0 {
            stock::open(&mut transaction, &id, stock.into()).await?;
        }
    }
    database.commit(transaction, "products.seed").await?;
    tracing::info!(products = products.len(), "the empty catalogue was filled");
    Ok(())
}
