//! The products in the database: one by its id, or a page of those that match.

use std::fmt::Write;

use serde::Serialize;
use shop_platform::{Database, Transaction};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use utoipa::ToSchema;

use crate::listing::{Listing, Sort};
use crate::product_id::ProductId;
use crate::search::Search;
use crate::words;

/// A product as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) description: String,
    pub(crate) price: Money,
    /// How many could be ordered when this was read. It may be out of date: only an order tells
    /// whether there is stock for it.
    pub(crate) available: i64,
}

/// An amount of money, exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Money {
    /// Cents, where the currency has cents.
    pub(crate) minor_units: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub(crate) currency: String,
}

/// A product to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) id: &'a ProductId,
    pub(crate) name: &'a str,
    pub(crate) category: &'a str,
    pub(crate) description: &'a str,
    pub(crate) price_minor: i64,
    pub(crate) currency: &'a str,
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

const COLUMNS: &str = "SELECT products.id, products.name, products.category, \
     products.description, products.price_minor, products.price_currency, \
     COALESCE(stock.available, 0) AS available";
/// A product that never had stock has no row there.
const TABLES: &str = " FROM products LEFT JOIN stock ON stock.product_id = products.id";

impl Catalogue {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) async fn product(&self, id: &ProductId) -> Result<Option<Product>, sqlx::Error> {
        let sql = format!("{COLUMNS}{TABLES} WHERE products.id = $1");
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(id.as_str())
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| product(&row)).transpose()
    }

    /// SQLite answers both questions of one moment; PostgreSQL may let a write in between, and
    /// the total is then that of a moment before.
    pub(crate) async fn list(&self, listing: &Listing) -> Result<Found, sqlx::Error> {
        let Some(filter) = Filter::of(listing) else {
            return Ok(Found { items: Vec::new(), total: 0 });
        };
        let mut transaction = self.database.pool().begin().await?;
        let sql = format!("SELECT count(*){TABLES}{}", filter.sql);
        let mut query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql));
        for value in &filter.values {
            query = query.bind(value.as_str());
        }
        let total = query.fetch_one(&mut *transaction).await?;

        let (limit, offset) = (filter.values.len() + 1, filter.values.len() + 2);
        let order = filter.order(listing.sort);
        let sql = format!(
            "{COLUMNS}{TABLES}{} ORDER BY {order} LIMIT ${limit} OFFSET ${offset}",
            filter.sql
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in &filter.values {
            query = query.bind(value.as_str());
        }
        let query = query.bind(i64::from(listing.per_page)).bind(listing.offset());
        let rows = query.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let items = rows.iter().map(product).collect::<Result<_, _>>()?;
        Ok(Found { items, total: total.cast_unsigned() })
    }
}

/// Adds a product or replaces it, and its words with it.
pub(crate) async fn write(
    transaction: &mut Transaction,
    entry: Entry<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO products (id, name, category, description, price_minor, price_currency) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
         category = excluded.category, description = excluded.description, \
         price_minor = excluded.price_minor, price_currency = excluded.price_currency",
    )
    .bind(entry.id.as_str())
    .bind(entry.name)
    .bind(entry.category)
    .bind(entry.description)
    .bind(entry.price_minor)
    .bind(entry.currency)
    .execute(&mut **transaction)
    .await?;
    sqlx::query("DELETE FROM product_words WHERE product_id = $1")
        .bind(entry.id.as_str())
        .execute(&mut **transaction)
        .await?;
    for (word, weight) in words::weigh(entry.name, entry.category, entry.description) {
        sqlx::query("INSERT INTO product_words (word, product_id, weight) VALUES ($1, $2, $3)")
            .bind(word.first())
            .bind(entry.id.as_str())
            .bind(weight)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Which products match. Nothing that a client sent becomes SQL: only its number does.
struct Filter {
    sql: String,
    /// What `$1` and the following stand for.
    values: Vec<String>,
    /// One table of matches for each word.
    searched: usize,
}

impl Filter {
    /// `None` if nothing can match.
    fn of(listing: &Listing) -> Option<Self> {
        let mut filter = Self { sql: String::new(), values: Vec::new(), searched: 0 };
        if let Some(text) = &listing.search {
            // There was a text, but no word in it: nothing matches, and everything would surprise.
            let search = Search::try_new(text)?;
            for word in search.prefixes() {
                let first = filter.value(word.first().to_owned());
                let end = filter.value(word.end());
                let table = format!("word_{}", filter.searched);
                // Writing to a string cannot fail.
                let _ = write!(
                    filter.sql,
                    " JOIN (SELECT product_id, CAST(SUM(weight) AS BIGINT) AS weight \
                     FROM product_words WHERE word >= {first} AND word < {end} \
                     GROUP BY product_id) AS {table} ON {table}.product_id = products.id"
                );
                filter.searched += 1;
            }
        }
        if let Some(category) = &listing.category {
            // PostgreSQL has no text with a NUL in it, and so no such category.
            if category.contains('\0') {
                return None;
            }
            let category = filter.value(category.clone());
            let _ = write!(filter.sql, " WHERE products.category = {category}");
        }
        Some(filter)
    }

    /// The placeholder of a value.
    fn value(&mut self, value: String) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Ends with the id each time: pages of a tie must not overlap.
    fn order(&self, sort: Option<Sort>) -> String {
        let fixed = match (sort, self.searched) {
            (None, 1..) => {
                let weights = (0..self.searched).map(|table| format!("word_{table}.weight"));
                let weight = weights.collect::<Vec<_>>().join(" + ");
                return format!("{weight} DESC, products.id");
            }
            (None, 0) | (Some(Sort::Name), _) => "products.name, products.id",
            (Some(Sort::NameDescending), _) => "products.name DESC, products.id",
            (Some(Sort::Price), _) => "products.price_minor, products.id",
            (Some(Sort::PriceDescending), _) => "products.price_minor DESC, products.id",
        };
        fixed.to_owned()
    }
}

fn product(row: &AnyRow) -> Result<Product, sqlx::Error> {
    Ok(Product {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        category: row.try_get("category")?,
        description: row.try_get("description")?,
        price: Money {
            minor_units: row.try_get("price_minor")?,
            currency: row.try_get("price_currency")?,
        },
        available: row.try_get("available")?,
    })
}
