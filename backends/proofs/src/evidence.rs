//! What is there, gathered past the services from their databases, the broker and the mail; and
//! what the services themselves say of it in their books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::backoffice::Backoffice;
use crate::bus::Recorded;
use crate::service::Service;
use crate::world::World;

/// All of it, of one moment if the world is at rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    pub accounts: BTreeSet<String>,
    pub orders: BTreeMap<String, Order>,
    /// By the order.
    pub payments: BTreeMap<String, Payment>,
    /// The state of each, by the order.
    pub reservations: BTreeMap<String, String>,
    pub stock: BTreeMap<String, Figures>,
    /// The ids of the events in each inbox, by the group.
    pub heard: BTreeMap<String, BTreeSet<String>>,
    pub messages: Vec<Message>,
    /// Files in the mail.
    pub letters: usize,
    /// Each once, however often the broker has it: id, kind and subject.
    pub events: BTreeSet<(String, String, String)>,
    pub books: Books,
    /// Services that have ended by themselves.
    pub dead: Vec<Service>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    pub account: String,
    pub state: String,
    pub reason: Option<String>,
    pub refunded: bool,
    pub total: i64,
    pub currency: String,
    /// Pieces by product.
    pub lines: BTreeMap<String, i64>,
    /// The kinds of all that happened to it, the oldest first.
    pub history: Vec<String>,
}

/// A tombstone has no amount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payment {
    pub state: String,
    pub amount: Option<i64>,
    pub currency: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub supplied: i64,
    pub available: i64,
    pub reserved: i64,
    pub sold: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    pub event: String,
    pub account: String,
    pub kind: String,
    /// Of its letter.
    pub state: String,
}

/// As the services answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    pub stock: BTreeMap<String, Figures>,
    /// By currency: as payments have it, and as the processor does.
    pub money: BTreeMap<String, (Totals, Totals)>,
    /// By state and currency: how many orders, and what they cost together.
    pub orders: BTreeMap<(String, String), (i64, i64)>,
    pub unfinished: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub held: i64,
    pub captured: i64,
    pub refunded: i64,
    pub net: i64,
}

impl Evidence {
    pub async fn gather(world: &Arc<World>) -> Self {
        let mut evidence = Self { books: Books::ask(world).await, ..Self::default() };
        evidence.look_at_accounts(world).await;
        evidence.look_at_orders(world).await;
        evidence.look_at_payments(world).await;
        evidence.look_at_stock(world).await;
        evidence.look_at_messages(world).await;
        evidence.look_at_inboxes(world).await;
        for Recorded { id, kind, subject, .. } in world.events().await {
            evidence.events.insert((id, kind, subject));
        }
        for service in Service::ALL {
            if world.has_died(service).await {
                evidence.dead.push(service);
            }
        }
        evidence
    }

    async fn look_at_accounts(&mut self, world: &World) {
        let rows = rows(world, Service::Users, "SELECT id FROM accounts").await;
        self.accounts = rows.iter().map(|row| row.get("id")).collect();
    }

    async fn look_at_orders(&mut self, world: &World) {
        for row in rows(world, Service::Orders, "SELECT * FROM orders_view").await {
            self.orders.insert(row.get("order_id"), order(&row));
        }
        let history = "SELECT order_id, kind FROM order_events ORDER BY order_id, version";
        for row in rows(world, Service::Orders, history).await {
            // An order without a row in the view shows as one without a state.
            let order = self.orders.entry(row.get("order_id")).or_default();
            order.history.push(row.get("kind"));
        }
    }

    async fn look_at_payments(&mut self, world: &World) {
        let statement = "SELECT order_id, state, amount_minor, currency FROM payments";
        for row in rows(world, Service::Payments, statement).await {
            let (state, amount) = (row.get("state"), row.get("amount_minor"));
            let payment = Payment { state, amount, currency: row.get("currency") };
            self.payments.insert(row.get("order_id"), payment);
        }
    }

    async fn look_at_stock(&mut self, world: &World) {
        let statement = "SELECT product_id, supplied, available, reserved, sold FROM stock";
        for row in rows(world, Service::Products, statement).await {
            let figures = Figures {
                supplied: row.get("supplied"),
                available: row.get("available"),
                reserved: row.get("reserved"),
                sold: row.get("sold"),
            };
            self.stock.insert(row.get("product_id"), figures);
        }
        let statement = "SELECT id, state FROM reservations";
        for row in rows(world, Service::Products, statement).await {
            self.reservations.insert(row.get("id"), row.get("state"));
        }
    }

    async fn look_at_messages(&mut self, world: &World) {
        let statement = "SELECT event_id, account_id, kind, state FROM messages ORDER BY event_id";
        let rows = rows(world, Service::Notifications, statement).await;
        let message = |row: &AnyRow| Message {
            event: row.get("event_id"),
            account: row.get("account_id"),
            kind: row.get("kind"),
            state: row.get("state"),
        };
        self.messages = rows.iter().map(message).collect();
        let mail = std::fs::read_dir(world.mail()).into_iter().flatten().flatten();
        let is_letter = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".eml");
        self.letters = mail.filter(|entry| is_letter(&entry.file_name())).count();
    }

    async fn look_at_inboxes(&mut self, world: &World) {
        for service in Service::listeners() {
            // The inbox of a service is that of one group, which has the service's name.
            let statement = "SELECT consumer_group, event_id FROM inbox";
            self.heard.insert(service.name().to_owned(), BTreeSet::new());
            for row in rows(world, service, statement).await {
                let group = self.heard.entry(row.get("consumer_group")).or_default();
                group.insert(row.get("event_id"));
            }
        }
    }
}

async fn rows(world: &World, service: Service, statement: &'static str) -> Vec<AnyRow> {
    let mut store = world.store(service).await;
    let rows = store.rows(statement).await;
    store.close().await;
    rows
}

fn order(row: &AnyRow) -> Order {
    let lines: Value = serde_json::from_str(row.get("lines")).unwrap();
    let lines = lines.as_array().into_iter().flatten();
    let lines = lines.map(|line| (text(line, "product_id"), number(line, "quantity")));
    Order {
        account: row.get("account_id"),
        state: row.get("state"),
        reason: row.get("reason"),
        refunded: row.get::<i64, _>("refunded") != 0,
        total: row.get("total_minor"),
        currency: row.get("currency"),
        lines: lines.collect(),
        history: Vec::new(),
    }
}

impl Books {
    async fn ask(world: &Arc<World>) -> Self {
        let backoffice = Backoffice::open(world).await;
        let stock = backoffice.books(Service::Products).await;
        let money = backoffice.books(Service::Payments).await;
        let orders = backoffice.books(Service::Orders).await;
        Self::read(&stock, &money, &orders)
    }

    pub(crate) fn read(stock: &Value, money: &Value, orders: &Value) -> Self {
        let items = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let stock = items(stock, "products").into_iter().map(|product| {
            let figures = Figures {
                supplied: number(&product, "supplied"),
                available: number(&product, "available"),
                reserved: number(&product, "reserved"),
                sold: number(&product, "sold"),
            };
            (text(&product, "product_id"), figures)
        });
        let money = items(money, "currencies").into_iter().map(|books| {
            (text(&books, "currency"), (totals(&books["payments"]), totals(&books["processor"])))
        });
        let sums = items(orders, "orders").into_iter().map(|sum| {
            let key = (text(&sum, "state"), text(&sum["total"], "currency"));
            (key, (number(&sum, "orders"), number(&sum["total"], "minor_units")))
        });
        let open = &orders["unfinished_sagas"];
        let unfinished = number(open, "forward") + number(open, "undo");
        let (stock, money, orders) = (stock.collect(), money.collect(), sums.collect());
        Self { stock, money, orders, unfinished }
    }
}

fn totals(value: &Value) -> Totals {
    Totals {
        held: number(value, "held"),
        captured: number(value, "captured"),
        refunded: number(value, "refunded"),
        net: number(value, "net"),
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn books_are_read_as_the_services_write_them() {
        let stock = json!({"products": [{"product_id": "lamp", "supplied": 10, "available": 7,
            "reserved": 1, "sold": 2}], "total": {"supplied": 10}});
        let totals = json!({"held": 5, "captured": 30, "refunded": 10, "net": 20});
        let money = json!({"currencies": [{"currency": "EUR", "payments": totals,
            "processor": totals}]});
        let orders = json!({"orders": [{"state": "confirmed", "orders": 2,
            "total": {"minor_units": 20, "currency": "EUR"}}],
            "unfinished_sagas": {"forward": 1, "undo": 2}});
        let books = Books::read(&stock, &money, &orders);
        let figures = Figures { supplied: 10, available: 7, reserved: 1, sold: 2 };
        assert_eq!(books.stock, BTreeMap::from([("lamp".to_owned(), figures)]));
        let totals = Totals { held: 5, captured: 30, refunded: 10, net: 20 };
        assert_eq!(books.money, BTreeMap::from([("EUR".to_owned(), (totals, totals))]));
        let key = ("confirmed".to_owned(), "EUR".to_owned());
        assert_eq!(books.orders, BTreeMap::from([(key, (2, 20))]));
        assert_eq!(books.unfinished, 3);
    }
}
