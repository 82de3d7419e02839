//! The service on a clock that stands still, between services that do as the tests say.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use clap::Parser;
use http_body_util::BodyExt;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use shop_platform::{ManualClock, SystemClock, UnixTime};
use tower::ServiceExt;
use uuid::Uuid;

use super::*;

mod api;
mod crash;
mod engines;
mod flaky;
mod live;
mod saga;
mod world;

use world::{Payment, Stock, World};

const ISSUER: &str = "http://users.shop";
const AUDIENCE: &str = "shop";
const LEASE: Duration = Duration::from_secs(5);

/// Signs tokens as the users service does.
struct Signer {
    key: EncodingKey,
    published: JwkSet,
}

impl Signer {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("test".to_owned());
        Self { key, published: JwkSet { keys: vec![jwk] } }
    }

    fn token(&self, account: Uuid, scope: &str, now: UnixTime) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("test".to_owned());
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": account, "scope": scope,
            "iat": now.seconds(), "nbf": now.seconds(), "exp": now.seconds() + 3600,
            "jti": Uuid::new_v4()});
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Answer {
    fn id(&self) -> Uuid {
        self.body["id"].as_str().expect(&self.text).parse().unwrap()
    }
}

/// One process of the service, and what stands around it.
struct Shop {
    app: Router,
    orders: Arc<Orders>,
    driver: Arc<Driver>,
    world: Arc<World>,
    clock: Arc<ManualClock>,
    signer: Arc<Signer>,
    account: Uuid,
}

impl Shop {
    async fn new(stock: i64) -> Self {
        let database =
            Database::open(&shop_platform::testing::database(), MIGRATIONS).await.unwrap();
        Self::on(database, World::with_stock(stock))
    }

    fn on(database: Database, world: World) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let signer = Arc::new(Signer::new());
        let account = Uuid::now_v7();
        Self::process(database, Arc::new(world), clock, signer, account)
    }

    fn process(
        database: Database,
        world: Arc<World>,
        clock: Arc<ManualClock>,
        signer: Arc<Signer>,
        account: Uuid,
    ) -> Self {
        let options = Options::parse_from(["shop-orders"]);
        assert_eq!(options.saga_lease, LEASE);
        let keys = signer.published.clone();
        let neighbours = Neighbours {
            inventory: world.clone(),
            payments: world.clone(),
            verifier: Verifier::with_keys(keys, ISSUER, AUDIENCE, clock.clone()),
        };
        let parts = assemble(&options, database, neighbours, clock.clone()).unwrap();
        let (orders, driver) = (parts.orders.clone(), parts.driver.clone());
        let app = service(parts).router(&options.server).unwrap();
        Self { app, orders, driver, world, clock, signer, account }
    }

    /// Another process at the same database, between the same services.
    fn another(&self) -> Self {
        let database = self.orders.database.clone();
        let (world, clock, signer) = (self.world.clone(), self.clock.clone(), self.signer.clone());
        Self::process(database, world, clock, signer, self.account)
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), headers: head.headers, body, text }
    }

    /// A request of the customer's.
    fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let token = self.signer.token(self.account, "customer", self.clock.now());
        let request = Request::builder().method(method).uri(path);
        request.header(AUTHORIZATION, format!("Bearer {token}"))
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Answer {
        let mut request = self.request("POST", path).header(CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn place_as(&self, key: &str, quantity: u32, payment_method: &str) -> Answer {
        let body = json!({"lines": [{"product_id": "lamp", "quantity": quantity}],
            "payment_method": payment_method});
        self.post("/v1/orders", Some(key), &body).await
    }

    async fn place(&self, quantity: u32, payment_method: &str) -> Uuid {
        let key = Uuid::new_v4().to_string();
        let answer = self.place_as(&key, quantity, payment_method).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.id()
    }

    async fn cancel(&self, id: Uuid) -> Answer {
        let key = Uuid::new_v4().to_string();
        self.post(&format!("/v1/orders/{id}/cancel"), Some(&key), &Value::Null).await
    }

    async fn order(&self, id: Uuid) -> Value {
        self.get(&format!("/v1/orders/{id}")).await.body
    }

    async fn state(&self, id: Uuid) -> (String, Option<String>) {
        let order = self.order(id).await;
        let text = |name: &str| order[name].as_str().map(str::to_owned);
        (text("state").unwrap(), text("reason"))
    }

    async fn unfinished(&self) -> i64 {
        let mut connection = self.orders.database.pool().acquire().await.unwrap();
        let found = sagas::unfinished(&mut connection).await.unwrap();
        found.forward + found.undo
    }

    /// Lets time pass until every saga is at its end. Whoever dies in a call is followed by another
    /// driver once the lease is over, and while a call is held the customer cancels `cancel`.
    async fn settle(&self, cancel: Option<Uuid>) {
        for round in 0..1000 {
            {
                let mut run = Box::pin(self.driver.run_due());
                loop {
                    tokio::select! {
                        biased;
                        () = self.world.crashed.notified() => {
                            self.clock.advance(LEASE);
                            break;
                        }
                        () = self.world.held.notified() => {
                            if let Some(id) = cancel {
                                assert_eq!(self.cancel(id).await.status, 202);
                            }
                            self.world.go_on.notify_one();
                        }
                        _ = &mut run => break,
                    }
                }
            }
            if self.unfinished().await == 0 {
                return;
            }
            let outage = round > 100;
            self.clock.advance(Duration::from_millis(if outage { 10_000 } else { 900 }));
        }
        panic!("the sagas do not come to an end: {:?}", self.world.books());
    }

    /// Whether the books of all three services agree, whatever may still be on its way.
    async fn audit(&self, orders: &[Uuid], supplied: i64) {
        self.world.deliver_all();
        let mut confirmed = (0, 0);
        for id in orders {
            let order = self.order(*id).await;
            let (stock, payment) = {
                let books = self.world.books();
                (books.stock.get(id).copied(), books.payments.get(id).copied())
            };
            match order["state"].as_str().unwrap() {
                "confirmed" => {
                    let total = order["total"]["minor_units"].as_i64().unwrap();
                    let pieces = total / world::PRICE;
                    assert_eq!(stock, Some(Stock::Sold(pieces)), "{order}");
                    assert_eq!(payment, Some(Payment::Captured(total)), "{order}");
                    confirmed = (confirmed.0 + 1, confirmed.1 + pieces);
                }
                "cancelled" => {
                    assert!(matches!(stock, None | Some(Stock::Released)), "{stock:?} {order}");
                    let refunded = match payment {
                        None | Some(Payment::Declined) => false,
                        Some(Payment::Undone(undone)) => undone.refunded,
                        left => panic!("{left:?} {order}"),
                    };
                    assert_eq!(order["refunded"], refunded, "{order}");
                    assert!(order["reason"].is_string(), "{order}");
                }
                state => panic!("{state} at the end: {order}"),
            }
        }
        {
            let books = self.world.books();
            assert_eq!(books.sold(), confirmed.1);
            assert_eq!(books.available + books.sold(), supplied, "{books:?}");
        }
        self.check_outbox(orders).await;
        self.check_view().await;
    }

    /// Each order was placed once, and its end, or each of its two ends, was told once.
    async fn check_outbox(&self, orders: &[Uuid]) {
        let events = self.outbox().await;
        for id in orders {
            let own = events.iter().filter(|event| event["subject"] == id.to_string());
            let kinds: Vec<&str> = own.map(|event| event["type"].as_str().unwrap()).collect();
            let state = self.state(*id).await.0;
            match state.as_str() {
                "confirmed" => assert_eq!(kinds, ["order.placed", "order.confirmed"]),
                _ => assert!(
                    kinds == ["order.placed", "order.cancelled"]
                        || kinds == ["order.placed", "order.confirmed", "order.cancelled"],
                    "{kinds:?}"
                ),
            }
        }
    }

    /// The events on their way out, the oldest first.
    async fn outbox(&self) -> Vec<Value> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT event FROM outbox ORDER BY id")
            .fetch_all(self.orders.database.pool())
            .await
            .unwrap();
        rows.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// The read model is what the events say.
    async fn check_view(&self) {
        let database = &self.orders.database;
        let before = view_rows(database).await;
        rebuild::rebuild(database).await.unwrap();
        assert_eq!(view_rows(database).await, before);
    }

    async fn metric(&self, line_start: &str) -> u64 {
        let text = self.get("/metrics").await.text;
        let line = text.lines().find(|line| line.starts_with(line_start));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// The read model, column by column.
async fn view_rows(database: &Database) -> Vec<String> {
    use sqlx::Row;
    let columns = ["order_id", "account_id", "state", "reason", "lines", "currency"];
    let numbers = ["refunded", "total_minor", "complaints", "version", "placed_at", "changed_at"];
    let rows = sqlx::query("SELECT * FROM orders_view ORDER BY order_id")
        .fetch_all(database.pool())
        .await
        .unwrap();
    let row = |row: &sqlx::any::AnyRow| {
        let texts = columns.map(|name| row.try_get::<Option<String>, _>(name).unwrap());
        let numbers = numbers.map(|name| row.try_get::<i64, _>(name).unwrap());
        format!("{texts:?} {numbers:?}")
    };
    rows.iter().map(row).collect()
}
