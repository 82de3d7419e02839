//! Requests and answers: what is refused and how, whose orders are whose, and what is kept.

use super::*;

const PLACE: &str = "/v1/orders";

fn body(lines: Value) -> Value {
    json!({"lines": lines, "payment_method": "pm_1"})
}

fn line(product_id: &str, quantity: i64) -> Value {
    json!({"product_id": product_id, "quantity": quantity})
}

#[tokio::test]
async fn an_order_is_placed_and_found_where_it_says() {
    let shop = Shop::new(9).await;
    let placed = shop.place_as("k1", 2, "pm_1").await;
    assert_eq!(placed.status, 202, "{}", placed.text);
    assert_eq!(placed.headers["cache-control"], "no-store");
    assert_eq!(placed.headers["location"], format!("/v1/orders/{}", placed.id()));
    let price = json!({"minor_units": world::PRICE, "currency": "EUR"});
    let expected = json!({
        "id": placed.id(), "state": "pending", "refunded": false,
        "lines": [{"product_id": "lamp", "quantity": 2, "unit_price": price}],
        "total": {"minor_units": 2 * world::PRICE, "currency": "EUR"}, "complaints": 0,
        "version": 1, "placed_at": shop.clock.now().to_string(),
        "changed_at": shop.clock.now().to_string(),
    });
    assert_eq!(placed.body, expected);
    let found = shop.get(placed.headers["location"].to_str().unwrap()).await;
    assert_eq!((found.status, &found.body), (200, &expected));
    assert_eq!(found.headers["cache-control"], "private, no-cache");
    let request = shop.request("GET", &format!("/v1/orders/{}", placed.id()));
    let request = request.header("if-none-match", &found.headers["etag"]);
    assert_eq!(shop.send(request.body(Body::empty()).unwrap()).await.status, 304);
    assert_eq!(shop.metric("shop_orders_total{outcome=\"placed\"}").await, 1);
}

#[tokio::test]
async fn a_request_sent_again_gets_the_same_answer() {
    let shop = Shop::new(9).await;
    let first = shop.place_as("k1", 2, "pm_1").await;
    shop.settle(None).await;
    // Also when there are no prices any more.
    for down in [false, true] {
        shop.world.take_prices_down(down);
        let again = shop.place_as("k1", 2, "pm_1").await;
        assert_eq!((again.status, &again.text), (202, &first.text));
        assert_eq!(again.headers["location"], first.headers["location"]);
        assert_eq!(again.headers["idempotent-replayed"], "true");
        let other = shop.place_as("k1", 3, "pm_1").await;
        assert_eq!((other.status, &other.body["code"]), (422, &"idempotency-key-reused".into()));
    }
    shop.world.take_prices_down(false);
    let cancel = format!("/v1/orders/{}/cancel", first.id());
    let one = shop.post(&cancel, Some("k2"), &Value::Null).await;
    shop.settle(None).await;
    let two = shop.post(&cancel, Some("k2"), &Value::Null).await;
    assert_eq!((one.status, &one.body["state"]), (202, &"cancelling".into()));
    assert_eq!((two.status, two.text), (202, one.text));
    assert_eq!(shop.outbox().await.len(), 3);
}

#[tokio::test]
async fn without_prices_there_is_no_order_and_the_key_stays_free() {
    let shop = Shop::new(9).await;
    shop.world.take_prices_down(true);
    let refused = shop.place_as("k1", 2, "pm_1").await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &"prices-unavailable".into()));
    assert_eq!(refused.headers["retry-after"], "1");
    shop.world.take_prices_down(false);
    let unknown = body(json!([line("lamp", 1), line("unknown", 1)]));
    let refused = shop.post(PLACE, Some("k1"), &unknown).await;
    assert_eq!((refused.status, &refused.body["code"]), (422, &"unknown-product".into()));
    assert_eq!(shop.place_as("k1", 2, "pm_1").await.status, 202);
    assert_eq!(shop.outbox().await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let shop = Shop::new(9).await;
    let many = |count| (0..count).map(|at| line(&format!("p{at}"), 1)).collect::<Vec<_>>();
    let good = body(json!([line("lamp", 1)]));
    let check = async |key: Option<&str>, body: Value, status: u16, code: &str| {
        let answer = shop.post(PLACE, key, &body).await;
        assert_eq!((answer.status, &answer.body["code"]), (status, &code.into()), "{body}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    };
    check(None, good.clone(), 400, "idempotency-key-missing").await;
    check(Some("two words"), good, 400, "idempotency-key-malformed").await;
    let key = Some("k");
    check(key, body(json!([])), 422, "invalid-fields").await;
    check(key, body(json!(many(51))), 422, "invalid-fields").await;
    check(key, body(json!([line("lamp", 0)])), 422, "invalid-fields").await;
    check(key, body(json!([line("lamp", 101)])), 422, "invalid-fields").await;
    check(key, body(json!([line("lamp", -1)])), 422, "invalid-body").await;
    check(key, body(json!([line("lamp", 1), line("lamp", 2)])), 422, "invalid-fields").await;
    check(key, body(json!([line("", 1)])), 422, "invalid-fields").await;
    check(key, body(json!("lamp")), 422, "invalid-body").await;
    check(key, json!({"lines": [line("lamp", 1)]}), 422, "invalid-body").await;
    let extra = json!({"lines": [line("lamp", 1)], "payment_method": "a", "free": true});
    check(key, extra, 422, "invalid-body").await;
    let both = json!({"lines": [], "payment_method": ""});
    let answer = shop.post(PLACE, key, &both).await;
    let fields: Vec<&Value> =
        answer.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["lines", "payment_method"]);
    assert_eq!(shop.post(PLACE, key, &body(json!(many(50)))).await.status, 202);
}

#[tokio::test]
async fn only_customers_have_orders_and_only_their_own() {
    let shop = Shop::new(9).await;
    let id = shop.place(1, "pm_1").await;
    let stranger = Uuid::now_v7();
    let paths = [
        ("GET", format!("/v1/orders/{id}")),
        ("GET", format!("/v1/orders/{id}/events")),
        ("POST", format!("/v1/orders/{id}/cancel")),
        ("POST", format!("/v1/orders/{id}/complaints")),
    ];
    let ask = async |method: &str, path: &str, token: Option<String>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.header("idempotency-key", "k").header(CONTENT_TYPE, "application/json");
        shop.send(request.body(Body::from(r#"{"text":"It squeaks."}"#)).unwrap()).await
    };
    let token = |account, scope| Some(shop.signer.token(account, scope, shop.clock.now()));
    for (method, path) in &paths {
        let check = async |token, status: u16, code: &str| {
            let answer = ask(method, path, token).await;
            assert_eq!((answer.status, &answer.body["code"]), (status, &code.into()), "{path}");
        };
        check(None, 401, "token-missing").await;
        check(Some("a.b.c".to_owned()), 401, "token-invalid").await;
        check(token(shop.account, "books:read"), 403, "insufficient-scope").await;
        check(token(stranger, "customer"), 404, "not-found").await;
    }
    for (method, path) in &paths {
        let nobodys = path.replace(&id.to_string(), &Uuid::now_v7().to_string());
        assert_eq!(ask(method, &nobodys, token(shop.account, "customer")).await.status, 404);
        for wrong in ["7", "%27%20OR%201=1", "%ff", &format!("{id}0")] {
            let path = path.replace(&id.to_string(), wrong);
            assert_eq!(ask(method, &path, token(shop.account, "customer")).await.status, 404);
        }
    }
    let list = ask("GET", "/v1/orders", token(stranger, "customer")).await;
    assert_eq!((list.status, list.body), (200, json!({"items": []})));
    let same_key = ask("POST", &paths[2].1, token(shop.account, "customer")).await;
    assert_eq!(same_key.status, 202, "a stranger's key is not ours");
    assert_eq!(shop.state(id).await.0, "cancelling");
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_without_gap_or_overlap() {
    let shop = Shop::new(9).await;
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.insert(0, json!(shop.place(1, "pm_1").await));
    }
    for limit in [1, 2, 3, 6, 7, 100] {
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut next = Some(format!("/v1/orders?limit={limit}"));
        while let Some(path) = next {
            let page = shop.get(&path).await;
            assert_eq!(page.status, 200, "{}", page.text);
            found.extend(page.body["items"].as_array().unwrap().iter().map(|o| o["id"].clone()));
            next = page.body["next"].as_str().map(str::to_owned);
            let link = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
            assert_eq!(link, next.as_ref().map(|next| format!("<{next}>; rel=\"next\"")));
            pages += 1;
        }
        assert_eq!((found, pages), (expected.clone(), 7_usize.div_ceil(limit)), "by {limit}");
    }
    assert_eq!(shop.get("/v1/orders").await.body["items"].as_array().unwrap().len(), 7);
    for query in ["limit=0", "limit=101", "limit=x", "before=7", "after=7", "limit=1&limit=2"] {
        let refused = shop.get(&format!("/v1/orders?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_history_tells_what_happened_and_when() {
    let shop = Shop::new(9).await;
    let id = shop.place(1, "pm_1").await;
    shop.clock.advance(Duration::from_secs(3));
    shop.cancel(id).await;
    shop.settle(None).await;
    let answer = shop.get(&format!("/v1/orders/{id}/events")).await;
    let items = answer.body["items"].as_array().unwrap();
    let kinds: Vec<&Value> = items.iter().map(|item| &item["kind"]).collect();
    assert_eq!(kinds, ["placed", "cancelling", "cancelled"]);
    let versions: Vec<&Value> = items.iter().map(|item| &item["version"]).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!(items[1]["data"], json!({"reason": "customer"}));
    assert_eq!(items[2]["data"], json!({"reason": "customer", "refunded": false}));
    assert_ne!(items[0]["at"], items[1]["at"]);
}

#[tokio::test]
async fn complaints_are_filed_once_each() {
    let shop = Shop::new(9).await;
    let id = shop.place(1, "pm_1").await;
    let path = format!("/v1/orders/{id}/complaints");
    let file =
        async |key: &str, text: &str| shop.post(&path, Some(key), &json!({"text": text})).await;
    let complain = async |text: &str| file(&Uuid::now_v7().to_string(), text).await;
    let squeaks = " It squeaks. ";
    for key in ["c1", "c1", "c2"] {
        let filed = file(key, squeaks).await;
        assert_eq!((filed.status, &filed.body["complaints"]), (201, &1.into()), "{}", filed.text);
    }
    assert_eq!(file("c1", "It hums.").await.body["code"], "idempotency-key-reused");
    let unnamed = shop.post(&path, None, &json!({"text": squeaks})).await;
    assert_eq!((unnamed.status, &unnamed.body["code"]), (400, &"idempotency-key-missing".into()));
    for text in ["", "  ", "\0", &"a".repeat(1001)] {
        let refused = complain(text).await;
        assert_eq!((refused.status, &refused.body["code"]), (422, &"invalid-fields".into()));
    }
    assert_eq!(complain(&"ä".repeat(1000)).await.status, 201);
    for number in 3..=10 {
        assert_eq!(complain(&number.to_string()).await.body["complaints"], number);
    }
    let refused = complain("11").await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &"too-many-complaints".into()));
    let nothing = shop.post(&path, Some("c3"), &json!({"words": "It hums."})).await;
    assert_eq!(nothing.status, 422);
    shop.settle(None).await;
    assert_eq!(shop.state(id).await.0, "confirmed", "a complaint stops nothing");
    shop.audit(&[id], 9).await;
}

#[tokio::test]
async fn the_books_are_for_auditors() {
    let shop = Shop::new(3).await;
    let (one, two) = (shop.place(2, "pm_1").await, shop.place(2, "pm_1").await);
    let ask = async |scope: &str| {
        let token = shop.signer.token(Uuid::now_v7(), scope, shop.clock.now());
        let request = Request::get("/v1/orders/books");
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        shop.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(ask("customer").await.status, 403);
    let sum = |state: &str, orders: i64| {
        let total = json!({"minor_units": orders * 2 * world::PRICE, "currency": "EUR"});
        json!({"state": state, "orders": orders, "total": total})
    };
    let books = ask("books:read").await;
    let expected = json!({"orders": [sum("pending", 2)],
        "unfinished_sagas": {"forward": 2, "undo": 0}});
    assert_eq!((books.status, &books.body), (200, &expected), "{}", books.text);
    shop.settle(None).await;
    let books = ask("customer books:read").await;
    let expected = json!({"orders": [sum("cancelled", 1), sum("confirmed", 1)],
        "unfinished_sagas": {"forward": 0, "undo": 0}});
    assert_eq!(books.body, expected);
    shop.cancel(one).await;
    shop.cancel(two).await;
    let books = ask("books:read").await;
    assert_eq!(books.body["unfinished_sagas"], json!({"forward": 0, "undo": 1}));
}

#[tokio::test]
async fn the_document_describes_every_route_and_its_problems() {
    let shop = Shop::new(3).await;
    let document = shop.get("/openapi.json").await.body;
    let statuses = |method: &str, path: &str| -> Vec<String> {
        let responses = &document["paths"][path][method]["responses"];
        let object = responses.as_object().unwrap_or_else(|| panic!("{method} {path}"));
        object.keys().cloned().collect()
    };
    let read = ["200", "400", "401", "403", "500", "503"];
    let one = ["200", "400", "401", "403", "404", "500", "503"];
    assert_eq!(statuses("get", "/v1/orders"), read);
    assert_eq!(statuses("get", "/v1/orders/books"), read);
    assert_eq!(statuses("get", "/v1/orders/{id}"), one);
    assert_eq!(statuses("get", "/v1/orders/{id}/events"), one);
    let place = ["202", "400", "401", "403", "409", "413", "415", "422", "500", "503"];
    assert_eq!(statuses("post", "/v1/orders"), place);
    let cancel = ["202", "400", "401", "403", "404", "409", "422", "500", "503"];
    assert_eq!(statuses("post", "/v1/orders/{id}/cancel"), cancel);
    let complain = ["201", "400", "401", "403", "404", "409", "413", "415", "422", "500", "503"];
    assert_eq!(statuses("post", "/v1/orders/{id}/complaints"), complain);
    assert_eq!(document["paths"].as_object().unwrap().len(), 6);
    // Whatever is referred to is there.
    let text = document.to_string();
    for (_, rest) in text
        .match_indices("\"#/components/schemas/")
        .map(|(at, found)| (at, &text[at + found.len()..]))
    {
        let name = rest.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let line = &document["components"]["schemas"]["Line"];
    assert_eq!(line["properties"]["quantity"]["maximum"], 100);
    assert_eq!(line["additionalProperties"], false);
}
