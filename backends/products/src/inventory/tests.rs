//! Reservations: every call on every history, random histories, and many calls at once.

use std::collections::BTreeMap;

use shop_platform::{ManualClock, Migrations};
use sqlx::Row;

use super::*;
use crate::catalogue::{self, Entry};
use crate::product_id::ProductId;

mod crowd;
mod random;
mod table;

const MIGRATIONS: Migrations = crate::MIGRATIONS;
const HOLD: Duration = Duration::from_secs(600);

/// An inventory of a few products, and a clock that stands still.
#[derive(Clone)]
struct Shelf {
    inventory: Inventory,
    database: Database,
    clock: Arc<ManualClock>,
}

fn product(id: &str) -> ProductId {
    ProductId::try_new(id).unwrap()
}

fn lines(lines: &[(&str, i64)]) -> Lines {
    lines.iter().map(|(id, quantity)| Line { product: product(id), quantity: *quantity }).collect()
}

impl Shelf {
    async fn open(url: &str, stock: &[(&str, i64)]) -> Self {
        let database = Database::open(url, MIGRATIONS).await.unwrap();
        let mut transaction = database.begin_write().await.unwrap();
        for (id, quantity) in stock {
            let id = product(id);
            let name = id.as_str();
            let (category, description, price_minor, currency) = ("test", "", 100, "EUR");
            let entry = Entry { id: &id, name, category, description, price_minor, currency };
            catalogue::write(&mut transaction, entry).await.unwrap();
            stock::open(&mut transaction, &id, *quantity).await.unwrap();
        }
        database.commit(transaction, "test").await.unwrap();
        let clock = Arc::new(ManualClock::at(UnixTime::from_seconds(1_700_000_000)));
        let inventory = Inventory::new(database.clone(), clock.clone(), HOLD);
        Self { inventory, database, clock }
    }

    async fn reserve(&self, id: Uuid, wanted: &[(&str, i64)]) -> Result<(), InventoryError> {
        let context = RequestContext::begin();
        self.inventory.reserve(id, &lines(wanted), None, &context).await.map(drop)
    }

    async fn commit(&self, id: Uuid) -> Result<(), InventoryError> {
        self.inventory.commit(id, &RequestContext::begin()).await
    }

    async fn release(&self, id: Uuid) -> Result<(), InventoryError> {
        self.inventory.release(id, &RequestContext::begin()).await
    }

    /// Lets every reservation's time pass, and takes back what is held still.
    async fn expire(&self) {
        self.clock.advance(HOLD);
        self.inventory.expire_due(100).await.unwrap();
    }

    /// Available, reserved and sold pieces of a product.
    async fn figures(&self, id: &str) -> (i64, i64, i64) {
        let books = stock::books(self.database.pool()).await.unwrap();
        let found = books.iter().find(|stock| stock.product_id == id).unwrap().figures;
        (found.available, found.reserved, found.sold)
    }

    /// The kinds of all events so far, in their order.
    async fn told(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT kind FROM outbox ORDER BY id")
            .fetch_all(self.database.pool())
            .await
            .unwrap()
    }

    /// The books against the reservations: what the one says is reserved or sold, the other must
    /// know by whom.
    async fn audit(&self) {
        let rows = sqlx::query(
            "SELECT reservation_lines.product_id, reservations.state, \
             CAST(SUM(reservation_lines.quantity) AS BIGINT) AS quantity \
             FROM reservation_lines \
             JOIN reservations ON reservations.id = reservation_lines.reservation_id \
             WHERE reservations.state IN ('held', 'committed') \
             GROUP BY reservation_lines.product_id, reservations.state",
        )
        .fetch_all(self.database.pool())
        .await
        .unwrap();
        let mut owed: BTreeMap<(String, String), i64> = BTreeMap::new();
        for row in rows {
            owed.insert((row.get("product_id"), row.get("state")), row.get("quantity"));
        }
        for stock in stock::books(self.database.pool()).await.unwrap() {
            let owed = |state: &str| {
                let key = (stock.product_id.clone(), state.to_owned());
                owed.get(&key).copied().unwrap_or_default()
            };
            let found = stock.figures;
            assert_eq!(found.reserved, owed("held"), "{}", stock.product_id);
            assert_eq!(found.sold, owed("committed"), "{}", stock.product_id);
            assert_eq!(found.supplied, found.available + found.reserved + found.sold);
            assert!(found.available >= 0, "{}", stock.product_id);
        }
    }
}

/// The word for an answer.
fn word<T>(answer: &Result<T, InventoryError>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(InventoryError::UnknownProduct(_)) => "unknown-product",
        Err(InventoryError::OutOfStock(_)) => "out-of-stock",
        Err(InventoryError::OtherLines) => "other-lines",
        Err(InventoryError::Released) => "released",
        Err(InventoryError::Expired) => "expired",
        Err(InventoryError::NotHeld) => "not-held",
        Err(error) => panic!("{error}"),
    }
}
