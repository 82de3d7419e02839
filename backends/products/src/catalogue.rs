//! The products in the database: one by its id, or a page of those that match.

use serde::Serialize;
use shop_platform::Database;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::listing::{Listing, Sort};
use crate::search;

/// A product as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) description: String,
    pub(crate) price: Money,
}

/// An amount of money, exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Money {
    /// Cents, where the currency has cents.
    pub(crate) minor_units: i64,
    /// ISO 4217.
    pub(crate) currency: String,
}

/// The products of one page, and how many match on all pages.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) items: Vec<Product>,
    pub(crate) total: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    database: Database,
}

impl Catalogue {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) async fn product(&self, id: &str) -> Result<Option<Product>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM products WHERE id = $1")
            .bind(id)
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| product(&row)).transpose()
    }

    /// Both answers come from one transaction, so that they agree.
    pub(crate) async fn list(&self, listing: &Listing) -> Result<Found, sqlx::Error> {
        let expression = listing.search.as_deref().map(search::expression);
        if expression == Some(None) {
            // There was a text, but no word in it: nothing matches, and everything would surprise.
            return Ok(Found { items: Vec::new(), total: 0 });
        }
        let filter =
            Filter { expression: expression.flatten(), category: listing.category.clone() };
        let mut transaction = self.database.pool().begin().await?;
        let mut query = QueryBuilder::new("SELECT count(*)");
        filter.push(&mut query);
        let total: i64 = query.build_query_scalar().fetch_one(&mut *transaction).await?;

        let mut query = QueryBuilder::new("SELECT products.*");
        filter.push(&mut query);
        query.push(" ORDER BY ").push(filter.order(listing.sort)).push(" LIMIT ");
        query.push_bind(i64::from(listing.per_page)).push(" OFFSET ").push_bind(listing.offset());
        let rows = query.build().fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let items = rows.iter().map(product).collect::<Result<_, _>>()?;
        Ok(Found { items, total: total.cast_unsigned() })
    }
}

/// Which products match. Nothing that a client sent becomes SQL: it is bound, every time.
struct Filter {
    expression: Option<String>,
    category: Option<String>,
}

impl Filter {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        query.push(" FROM products");
        if let Some(expression) = &self.expression {
            query.push(" JOIN product_search ON product_search.id = products.id");
            query.push(" WHERE product_search MATCH ").push_bind(expression.clone());
        }
        if let Some(category) = &self.category {
            query.push(if self.expression.is_some() { " AND " } else { " WHERE " });
            query.push("products.category = ").push_bind(category.clone());
        }
    }

    /// Ends with the id each time: pages of a tie must not overlap.
    fn order(&self, sort: Option<Sort>) -> &'static str {
        match (sort, &self.expression) {
            // A word in the name counts most, then in the category, then in the description.
            (None, Some(_)) => "bm25(product_search, 0, 10, 4, 1), products.id",
            (None, None) | (Some(Sort::Name), _) => "products.name, products.id",
            (Some(Sort::NameDescending), _) => "products.name DESC, products.id",
            (Some(Sort::Price), _) => "products.price_minor, products.id",
            (Some(Sort::PriceDescending), _) => "products.price_minor DESC, products.id",
        }
    }
}

fn product(row: &SqliteRow) -> Result<Product, sqlx::Error> {
    Ok(Product {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        category: row.try_get("category")?,
        description: row.try_get("description")?,
        price: Money {
            minor_units: row.try_get("price_minor")?,
            currency: row.try_get("price_currency")?,
        },
    })
}
