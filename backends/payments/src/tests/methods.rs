//! Payment methods over REST: what is taken, what is shown, and what is never kept.

use super::*;

const NUMBERS: [&str; 4] =
    ["4242424242424242", "4000000000009995", "378282246310005", "6011 1111-1111 1117"];

#[tokio::test]
async fn a_card_is_added_once_and_shown_without_its_number() {
    let (shop, account) = (shop().await, Uuid::now_v7());
    let first = shop.add(account, "\"key-1\"", &card("4242 4242 4242 4242")).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let shown = &first.body;
    assert_eq!((&shown["brand"], &shown["last4"]), (&json!("visa"), &json!("4242")));
    assert_eq!((&shown["expiry_month"], &shown["expiry_year"]), (&json!(12), &json!(2099)));
    assert!(!first.text.contains("42424242") && !first.text.contains("tok_"), "{}", first.text);
    let again = shop.add(account, "key-1", &card("4242 4242 4242 4242")).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    let other = shop.add(account, "key-1", &card("4000000000009995")).await;
    assert_eq!((other.status, &other.body["code"]), (422, &json!("idempotency-key-reused")));
    let neighbour = Uuid::now_v7();
    assert_eq!(shop.add(neighbour, "key-1", &card("4000000000009995")).await.status, 201);
    let listed = shop.get("/v1/payment-methods", account).await;
    assert_eq!(listed.body, json!({"items": [shown]}));
    assert_eq!(listed.headers["cache-control"], "no-store");
    assert!(!listed.text.contains("tok_"));
}

#[tokio::test]
async fn cards_that_cannot_be_are_refused() {
    let (shop, account) = (shop().await, Uuid::now_v7());
    let check = async |body: Value, status: u16, fields: &[&str]| {
        let answer = shop.add(account, &Uuid::now_v7().to_string(), &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(found, fields, "{body}");
    };
    check(card("4242424242424241"), 422, &["card_number"]).await;
    check(card(""), 422, &["card_number"]).await;
    check(card("4242\u{0}42424242424242"), 422, &["card_number"]).await;
    let good = "4242424242424242";
    let expiring = |month: i64, year: i64| {
        json!({"card_number": good, "expiry_month": month,
        "expiry_year": year})
    };
    check(expiring(0, 2030), 422, &["expiry_month"]).await;
    check(expiring(13, 1999), 422, &["expiry_month", "expiry_year"]).await;
    check(expiring(1, 2020), 422, &["expiry_year"]).await;
    check(expiring(-1, 2030), 422, &[]).await;
    check(expiring(256, 70_000), 422, &[]).await;
    check(json!({"card_number": good}), 422, &[]).await;
    check(
        json!({"card_number": 4242424242424242_u64, "expiry_month": 1, "expiry_year": 2030}),
        422,
        &[],
    )
    .await;
    let mut more = card(good);
    more["cvc"] = json!("123");
    check(more, 422, &[]).await;
    assert_eq!(shop.get("/v1/payment-methods", account).await.body, json!({"items": []}));
}

#[tokio::test]
async fn only_customers_have_cards() {
    let shop = shop().await;
    let bare = shop.send(Request::get("/v1/payment-methods").body(Body::empty()).unwrap()).await;
    assert_eq!((bare.status, &bare.headers["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
    for path in ["/v1/payment-methods", "/v1/payments", "/v1/payments/0"] {
        let answer = shop.get_as(path, Uuid::nil(), "books:read").await;
        assert_eq!(answer.status, 403, "{path}");
    }
    let request = Request::post("/v1/payment-methods")
        .header("content-type", "application/json")
        .header("authorization", shop.tokens.bearer(Uuid::nil(), "customer"));
    let body = Body::from(card("4242424242424242").to_string());
    let answer = shop.send(request.body(body).unwrap()).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("idempotency-key-missing")));
}

#[tokio::test]
async fn an_account_has_fifty_cards_at_most() {
    let (shop, account) = (shop().await, Uuid::now_v7());
    for _ in 0..50 {
        shop.method(account, "4242424242424242").await;
    }
    let answer = shop.add(account, "one-more", &card("4242424242424242")).await;
    assert_eq!((answer.status, &answer.body["code"]), (409, &json!("too-many-payment-methods")));
}

/// The files themselves are searched, with whatever the engine writes beside its tables.
#[tokio::test]
async fn no_file_ever_holds_a_number() {
    let directory = tempfile::tempdir().unwrap();
    let shop = shop_at(&format!("sqlite:{}/payments.db", directory.path().display())).await;
    let account = Uuid::now_v7();
    for number in NUMBERS {
        let method = shop.method(account, number).await;
        let amount = money::Money::try_new(100, "EUR").unwrap();
        let terms = payment::Terms { account, method, amount };
        let context = RequestContext::begin();
        shop.payments.authorize(Uuid::now_v7(), &terms, &context).await.unwrap();
        // What is refused is not kept either.
        let invalid = json!({"card_number": number, "expiry_month": 1, "expiry_year": 2001});
        shop.add(account, &Uuid::now_v7().to_string(), &invalid).await;
    }
    let check = || {
        let mut files = 0;
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for number in NUMBERS {
                let digits: String = number.chars().filter(char::is_ascii_digit).collect();
                for secret in [number, digits.as_str(), &digits[..digits.len() - 4]] {
                    assert!(!text.contains(secret), "{secret} is in {}", path.display());
                }
            }
            files += 1;
        }
        files
    };
    assert!(check() >= 2, "the database and its log");
    shop.database.close().await;
    assert!(check() >= 1);
    let path = directory.path().join("payments.db");
    let bytes = std::fs::read(path).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("9995"), "the last four digits are there");
}
