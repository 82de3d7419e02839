//! Registration: the account and its event in one commit, and requests that come twice.

use super::*;

async fn events(shop: &Shop) -> Vec<Value> {
    let texts: Vec<String> = sqlx::query_scalar("SELECT event FROM outbox ORDER BY id")
        .fetch_all(shop.database.pool())
        .await
        .unwrap();
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

impl Shop {
    async fn register_with(&self, key: &str, changes: Value) -> Answer {
        let mut body = json!({"email": "ada@example.com", "password": "correct horse battery",
            "display_name": "Ada"});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let request = Request::builder()
            .method("POST")
            .uri("/v1/users")
            .header(CONTENT_TYPE, "application/json")
            .header("x-request-id", "request-1")
            .header("idempotency-key", key);
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

#[tokio::test]
async fn an_account_and_its_event_are_one_commit() {
    registered_once(&shop().await).await;
}

pub(super) async fn registered_once(shop: &Shop) {
    let first = shop.register_with("\"k1\"", json!({})).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let [event] = &events(shop).await[..] else { panic!("one event") };
    assert_eq!((&event["type"], &event["source"]), (&json!("user.registered"), &json!("users")));
    assert_eq!(event["subject"], first.body["id"]);
    assert_eq!(event["requestid"], "request-1");
    let data = json!({"account_id": first.body["id"], "email": "ada@example.com",
        "display_name": "Ada"});
    assert_eq!(event["data"], data);
    assert!(!event.to_string().contains("argon2"));

    let again = shop.register_with("\"k1\"", json!({})).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.headers["cache-control"], "no-store");
    // Whoever takes the address gets no event.
    assert_eq!(shop.register("ADA@example.com").await.status, 409);
    assert_eq!(shop.register_with("k2", json!({})).await.body["code"], "email-taken");
    assert_eq!(events(shop).await.len(), 1);
    assert_eq!(shop.metric("shop_users_registrations_total").await, 1);
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let shop = shop().await;
    assert_eq!(shop.register_with("k1", json!({})).await.status, 201);
    for changes in [
        json!({"display_name": "Eve"}),
        json!({"email": "Ada@example.com"}),
        json!({"password": "another password"}),
    ] {
        let answer = shop.register_with("k1", changes.clone()).await;
        let found = (answer.status, &answer.body["code"]);
        assert_eq!(found, (422, &json!("idempotency-key-reused")), "{changes}");
        assert!(!answer.text.contains("created_at"));
    }
    // Someone else's keys are their own.
    let bob = shop.register_with("k1", json!({"email": "bob@example.com"})).await;
    assert_eq!(bob.status, 201, "{}", bob.text);
    for malformed in ["two words", "\"", ""] {
        let answer = shop.register_with(malformed, json!({"email": "c@example.com"})).await;
        let found = (answer.status, &answer.body["code"]);
        assert_eq!(found, (400, &json!("idempotency-key-malformed")), "{malformed:?}");
    }
}

#[tokio::test]
async fn a_key_cannot_be_used_to_guess_a_password() {
    let shop = shop().await;
    assert_eq!(shop.register_with("k1", json!({})).await.status, 201);
    for _ in 0..10 {
        let answer = shop.register_with("k1", json!({"password": "a guess that fails"})).await;
        assert_eq!(answer.status, 422);
    }
    let answer = shop.register_with("k1", json!({"password": "a guess that fails"})).await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(answer.headers["retry-after"], "30");
    assert_eq!(shop.log_in("ada@example.com", "correct horse battery").await.status, 429);
}
