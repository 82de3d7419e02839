//! The service by `oneshot` and over gRPC, on a clock that stands still.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use clap::Parser;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shop_platform::{ManualClock, RequestContext, SystemClock};
use tower::ServiceExt;
use uuid::Uuid;

use super::*;

mod calls;
mod methods;
mod shown;
mod tokens;

use tokens::Tokens;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

/// A service, whoever may ask it, and the payments that orders would make.
struct Shop {
    app: Router,
    tokens: Tokens,
    payments: Payments,
    database: Database,
}

/// Options of a service that nobody else can reach.
fn options(database: &str) -> Options {
    Options::parse_from([
        "shop-payments",
        "--listen=127.0.0.1:0",
        "--grpc-listen=127.0.0.1:0",
        "--broker=log::memory:",
        "--processor-slow=0ms",
        "--database",
        database,
    ])
}

async fn shop_at(database: &str) -> Shop {
    let options = options(database);
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let tokens = Tokens::new(clock.clone());
    let service = prepare_with(&options, clock.clone(), tokens.verifier()).await.unwrap();
    let database = service.database.clone();
    let app = service.router(&options.server).unwrap();
    let processor = Simulated::new(database.clone(), clock.clone(), Latency::default());
    let metrics = PaymentMetrics::try_new(&Registry::new()).unwrap();
    let payments = Payments::new(database.clone(), clock, Arc::new(processor), metrics);
    Shop { app, tokens, payments, database }
}

async fn shop() -> Shop {
    shop_at(&shop_platform::testing::database()).await
}

/// The body of a request that adds a card.
fn card(number: &str) -> Value {
    json!({"card_number": number, "expiry_month": 12, "expiry_year": 2099})
}

impl Shop {
    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), headers: head.headers, body, text }
    }

    async fn get_as(&self, path: &str, account: Uuid, scope: &str) -> Answer {
        let bearer = self.tokens.bearer(account, scope);
        let request = Request::get(path).header("authorization", bearer);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn get(&self, path: &str, account: Uuid) -> Answer {
        self.get_as(path, account, "customer").await
    }

    async fn add(&self, account: Uuid, key: &str, body: &Value) -> Answer {
        let request = Request::post("/v1/payment-methods")
            .header("content-type", "application/json")
            .header("authorization", self.tokens.bearer(account, "customer"))
            .header("idempotency-key", key);
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// The id of a new payment method.
    async fn method(&self, account: Uuid, number: &str) -> Uuid {
        let answer = self.add(account, &Uuid::now_v7().to_string(), &card(number)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["id"].as_str().unwrap().parse().unwrap()
    }
}
