//! The demo's catalogue, embedded, so that a fresh start has something to sell.

use serde::Deserialize;
use shop_platform::Database;

const PRODUCTS: &str = include_str!("../seed/products.json");

#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    #[error("the embedded products cannot be read: {0}")]
    Json(#[from] serde_json::Error),
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
/// has touched is left alone.
pub(crate) async fn fill_if_empty(database: &Database) -> Result<(), SeedError> {
    const ANY: &str = "SELECT EXISTS (SELECT 1 FROM products)";
    if sqlx::query_scalar::<_, bool>(ANY).fetch_one(database.pool()).await? {
        return Ok(());
    }
    let products: Vec<SeedProduct<'_>> = serde_json::from_str(PRODUCTS)?;
    let mut transaction = database.begin_write().await?;
    if sqlx::query_scalar::<_, bool>(ANY).fetch_one(&mut *transaction).await? {
        return Ok(());
    }
    for product in &products {
        sqlx::query(
            "INSERT INTO products (id, name, category, description, price_minor, price_currency) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(product.id)
        .bind(product.name)
        .bind(product.category)
        .bind(product.description)
        .bind(product.price_minor)
        .bind(product.currency)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    tracing::info!(products = products.len(), "the empty catalogue was filled");
    Ok(())
}
