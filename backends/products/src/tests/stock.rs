//! The stock over REST: who may see and change it, and what a repeated request does.

use serde_json::json;

use super::*;

const KEY: &str = "\"0198f2c1-7d3e-7a44-9c55-3f0b6c1d2e4f\"";

struct Shop {
    app: Router,
    tokens: Tokens,
}

async fn shop() -> Shop {
    let options = options(&shop_platform::testing::database());
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let tokens = Tokens::new(clock.clone());
    let service = prepare_with(&options, clock, tokens.verifier()).await.unwrap();
    Shop { app: service.router(&options.server).unwrap(), tokens }
}

impl Shop {
    /// `scope` is of the caller's token; without one there is no token.
    async fn supply(
        &self,
        id: &str,
        key: Option<&str>,
        scope: Option<&str>,
        body: Value,
    ) -> Answer {
        let mut request = Request::post(format!("/v1/products/{id}/supply"))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(scope) = scope {
            request = request.header("authorization", self.tokens.bearer(Uuid::nil(), scope));
        }
        send(&self.app, request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn books(&self, scope: Option<&str>) -> Answer {
        let mut request = Request::get("/v1/stock/books");
        if let Some(scope) = scope {
            request = request.header("authorization", self.tokens.bearer(Uuid::nil(), scope));
        }
        send(&self.app, request.body(Body::empty()).unwrap()).await
    }

    async fn available(&self, id: &str) -> Value {
        get(&self.app, &format!("/v1/products/{id}/stock")).await.body["available"].clone()
    }
}

#[tokio::test]
async fn what_comes_in_is_added_once() {
    let shop = shop().await;
    let (id, write) = ("walnut-desk-lamp", Some("stock:write"));
    let first = shop.supply(id, Some(KEY), write, json!({"quantity": 5})).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let figures = json!({"product_id": id, "supplied": 1005, "available": 1005, "reserved": 0,
        "sold": 0});
    assert_eq!(first.body, figures);
    let again = shop.supply(id, Some(KEY), write, json!({"quantity": 5})).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(shop.available(id).await, 1005, "the same request adds nothing");
    let other = shop.supply(id, Some(KEY), write, json!({"quantity": 6})).await;
    assert_eq!(other.status, 422, "{}", other.text);
    let other = shop.supply("wall-clock-oak", Some(KEY), write, json!({"quantity": 5})).await;
    assert_eq!(other.status, 422, "the product is a part of the request");
    assert_eq!(shop.available("wall-clock-oak").await, 1000);
    let listed = get(&shop.app, "/v1/products?search=walnut+lamp").await;
    assert_eq!(listed.body["items"][0]["available"], 1005);
}

#[tokio::test]
async fn only_those_who_may_add_to_the_stock() {
    let shop = shop().await;
    let (id, write, good) = ("walnut-desk-lamp", Some("stock:write"), json!({"quantity": 1}));
    for (id, key, scope, body, status) in [
        (id, Some(KEY), None, good.clone(), 401),
        (id, Some(KEY), Some("customer"), good.clone(), 403),
        (id, Some(KEY), Some("books:read"), good.clone(), 403),
        (id, None, write, good.clone(), 400),
        (id, Some(""), write, good.clone(), 400),
        ("nothing", Some(KEY), write, good.clone(), 404),
        ("NO%00", Some(KEY), write, good.clone(), 404),
        (id, Some(KEY), write, json!({"quantity": 0}), 422),
        (id, Some(KEY), write, json!({"quantity": 1_000_001}), 422),
        (id, Some(KEY), write, json!({"quantity": -1}), 422),
        (id, Some(KEY), write, json!({"quantity": "1"}), 422),
        (id, Some(KEY), write, json!({"quantity": 1, "price": 0}), 422),
        (id, Some(KEY), write, json!({}), 422),
    ] {
        let answer = shop.supply(id, key, scope, body.clone()).await;
        assert_eq!(answer.status, status, "{id} {key:?} {scope:?} {body}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    assert_eq!(shop.available(id).await, 1000);
}

#[tokio::test]
async fn the_books_are_for_the_auditor() {
    let shop = shop().await;
    assert_eq!(shop.books(None).await.status, 401);
    assert_eq!(shop.books(Some("customer stock:write")).await.status, 403);
    let books = shop.books(Some("books:read")).await;
    assert_eq!(
        (books.status, &books.headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    assert_eq!(books.body["products"].as_array().unwrap().len(), 200);
    let total = json!({"supplied": 200_000, "available": 200_000, "reserved": 0, "sold": 0});
    assert_eq!(books.body["total"], total);
}

#[tokio::test]
async fn how_much_there_is_concerns_everyone() {
    let shop = shop().await;
    let answer = get(&shop.app, "/v1/products/walnut-desk-lamp/stock").await;
    assert_eq!(answer.body, json!({"product_id": "walnut-desk-lamp", "available": 1000}));
    assert_eq!(answer.headers["cache-control"], "no-cache");
    for id in ["nothing", "%00", "%ff"] {
        assert_eq!(get(&shop.app, &format!("/v1/products/{id}/stock")).await.status, 404);
    }
}

#[tokio::test]
async fn the_document_is_served() {
    let shop = shop().await;
    let document = get(&shop.app, "/openapi.json").await;
    assert_eq!(document.status, 200);
    assert!(document.body["paths"]["/v1/products/{id}/supply"]["post"].is_object());
}
