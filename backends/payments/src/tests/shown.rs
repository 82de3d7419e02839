//! Payments and books over REST: who sees what.

use super::*;
use crate::money::Money;
use crate::payment::Terms;

impl Shop {
    /// The order of a new payment that is authorized.
    async fn authorized(&self, account: Uuid, number: &str, minor_units: i64) -> Uuid {
        let method = self.method(account, number).await;
        let amount = Money::try_new(minor_units, "EUR").unwrap();
        let terms = Terms { account, method, amount };
        let order = Uuid::now_v7();
        self.payments.authorize(order, &terms, &RequestContext::begin()).await.unwrap();
        order
    }
}

#[tokio::test]
async fn customers_see_their_own_payments() {
    let (shop, account) = (shop().await, Uuid::now_v7());
    let order = shop.authorized(account, "4242424242424242", 250).await;
    let path = format!("/v1/payments/{order}");
    let shown = shop.get(&path, account).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(shown.headers["cache-control"], "no-store");
    assert_eq!(shown.body["order_id"], json!(order));
    assert_eq!(shown.body["status"], "authorized");
    assert_eq!(shown.body["amount"], json!({"minor_units": 250, "currency": "EUR"}));
    assert!(shown.body.get("decline_code").is_none());
    let context = RequestContext::begin();
    shop.payments.capture(order, &context).await.unwrap();
    assert_eq!(shop.get(&path, account).await.body["status"], "captured");
    assert_eq!(shop.get(&path, Uuid::now_v7()).await.status, 404, "it is another's");
    let declined = shop.authorized(account, "4100000000000019", 1).await;
    let shown = shop.get(&format!("/v1/payments/{declined}"), account).await;
    assert_eq!(
        (&shown.body["status"], &shown.body["decline_code"]),
        (&json!("declined"), &json!("fraud_suspected"))
    );
    let buried = Uuid::now_v7();
    shop.payments.undo(buried, &context).await.unwrap();
    for unknown in [buried.to_string(), Uuid::now_v7().to_string(), "1".into(), "%ff".into()] {
        let answer = shop.get(&format!("/v1/payments/{unknown}"), account).await;
        assert_eq!((answer.status, &answer.body["code"]), (404, &json!("not-found")), "{unknown}");
    }
}

#[tokio::test]
async fn pages_of_payments_lead_to_the_first() {
    let (shop, account) = (shop().await, Uuid::now_v7());
    let mut orders = Vec::new();
    for amount in 1..=7 {
        orders.push(shop.authorized(account, "4242424242424242", amount).await.to_string());
        shop.authorized(Uuid::now_v7(), "4242424242424242", amount).await;
    }
    orders.reverse();
    for limit in [1, 3, 7, 100] {
        let mut found = Vec::new();
        let mut path = Some(format!("/v1/payments?limit={limit}"));
        while let Some(url) = path {
            let answer = shop.get(&url, account).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            for item in answer.body["items"].as_array().unwrap() {
                found.push(item["order_id"].as_str().unwrap().to_owned());
            }
            let next = answer.body.get("next").map(|next| next.as_str().unwrap().to_owned());
            path = next.map(|next| format!("/v1/payments?limit={limit}&before={next}"));
        }
        assert_eq!(found, orders, "by {limit}");
    }
    for query in ["limit=0", "limit=101", "limit=x", "before=1", "after=1", "limit=1&limit=2"] {
        let answer = shop.get(&format!("/v1/payments?{query}"), account).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_books_are_for_the_auditor() {
    let (shop, account) = (shop().await, Uuid::now_v7());
    assert_eq!(shop.get("/v1/payments/books", account).await.status, 403);
    let books = async || shop.get_as("/v1/payments/books", Uuid::nil(), "books:read").await.body;
    assert_eq!(books().await, json!({"currencies": []}));
    let context = RequestContext::begin();
    let good = "4242424242424242";
    shop.authorized(account, good, 1).await;
    let captured = shop.authorized(account, good, 10).await;
    shop.payments.capture(captured, &context).await.unwrap();
    let refunded = shop.authorized(account, good, 100).await;
    shop.payments.capture(refunded, &context).await.unwrap();
    shop.payments.undo(refunded, &context).await.unwrap();
    let voided = shop.authorized(account, good, 1000).await;
    shop.payments.undo(voided, &context).await.unwrap();
    shop.authorized(account, "4000000000000002", 10_000).await;
    let totals = json!({"held": 1, "captured": 110, "refunded": 100, "net": 10});
    let expected = json!([{"currency": "EUR", "payments": totals, "processor": totals}]);
    assert_eq!(books().await["currencies"], expected);
}

#[tokio::test]
async fn the_document_is_served_with_the_test_numbers() {
    let shop = shop().await;
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let document = shop.send(request).await;
    assert_eq!(document.status, 200);
    let description = document.body["info"]["description"].as_str().unwrap();
    for number in ["4242 4242 4242 4242", "4000 0000 0000 9995", "4000 0000 0000 0341"] {
        assert!(description.contains(number), "{number}");
    }
}
