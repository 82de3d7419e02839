//! What customers ask for, by `oneshot`.

use super::*;

async fn shop() -> (Api, Uuid, String) {
    let api = Shop::new().await.api();
    let ada = Uuid::now_v7();
    api.around.register(ada, "Ada").await;
    let token = api.around.token(ada);
    (api, ada, token)
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.body["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_customer_sees_her_own_newest_first() {
    let (api, ada, token) = shop().await;
    let bob = Uuid::now_v7();
    api.around.register(bob, "Bob").await;
    api.around.tell(&confirmed(ada)).await;
    let answer = api.get("/v1/notifications", &token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let items = answer.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["kind"], "order.confirmed");
    assert_eq!(items[1]["kind"], "user.registered");
    assert_eq!(items[1]["subject"], "Welcome to the shop");
    assert!(items[1]["body"].as_str().unwrap().starts_with("Hello Ada,\n"));
    assert_eq!((&items[1]["read_at"], &items[1]["letter"]), (&Value::Null, &json!("pending")));
    assert_eq!(answer.body["next"], Value::Null);
    let nobody = api.around.token(Uuid::now_v7());
    let empty = api.get("/v1/notifications", &nobody).await;
    assert_eq!((empty.status, &empty.body["items"]), (200, &json!([])));
}

#[tokio::test]
async fn pages_tile_the_list_without_gap_or_overlap() {
    let (api, ada, token) = shop().await;
    for _ in 0..10 {
        api.around.tell(&confirmed(ada)).await;
    }
    let whole = ids(&api.get("/v1/notifications?limit=100", &token).await);
    assert_eq!(whole.len(), 11);
    for limit in [1, 3, 10, 11, 12] {
        let (mut tiled, mut path) = (Vec::new(), format!("/v1/notifications?limit={limit}"));
        loop {
            let page = api.get(&path, &token).await;
            assert!(ids(&page).len() <= limit, "{path}");
            tiled.extend(ids(&page));
            // One that comes in between moves nothing.
            let Some(next) = page.body["next"].as_str() else { break };
            path = format!("/v1/notifications?limit={limit}&before={next}");
        }
        assert_eq!(tiled, whole, "by {limit}");
    }
}

#[tokio::test]
async fn what_is_read_is_counted_and_filtered() {
    let (api, ada, token) = shop().await;
    api.around.tell(&confirmed(ada)).await;
    api.around.tell(&captured(ada)).await;
    let all = ids(&api.get("/v1/notifications", &token).await);
    let counts = api.get("/v1/notifications/counts", &token).await;
    assert_eq!((counts.status, counts.body), (200, json!({"total": 3, "unread": 3})));
    let read = api.read(&all[1], &token, Some("key-1")).await;
    assert_eq!((read.status, &read.body["id"]), (200, &json!(all[1])));
    assert_eq!(read.body["read_at"], api.around.clock.now().to_string());
    let counts = api.get("/v1/notifications/counts", &token).await;
    assert_eq!(counts.body, json!({"total": 3, "unread": 2}));
    let unread = ids(&api.get("/v1/notifications?unread=true", &token).await);
    assert_eq!(unread, [all[0].clone(), all[2].clone()]);
    assert_eq!(ids(&api.get("/v1/notifications?unread=false", &token).await), all);
    let nobody = api.around.token(Uuid::now_v7());
    let counts = api.get("/v1/notifications/counts", &nobody).await;
    assert_eq!(counts.body, json!({"total": 0, "unread": 0}));
}

#[tokio::test]
async fn reading_again_changes_nothing_and_a_key_is_for_one_request() {
    let (api, ada, token) = shop().await;
    api.around.tell(&confirmed(ada)).await;
    let all = ids(&api.get("/v1/notifications", &token).await);
    let first = api.read(&all[0], &token, Some("key-1")).await;
    assert_eq!(first.status, 200, "{}", first.body);
    api.around.clock.advance(Duration::from_secs(60));
    let same_key = api.read(&all[0], &token, Some("key-1")).await;
    assert_eq!((same_key.status, &same_key.body), (200, &first.body));
    let new_key = api.read(&all[0], &token, Some("key-2")).await;
    assert_eq!((new_key.status, &new_key.body), (200, &first.body), "it keeps its time");
    let reused = api.read(&all[1], &token, Some("key-1")).await;
    assert_eq!((reused.status, &reused.body["code"]), (422, &json!("idempotency-key-reused")));
    let missing = api.read(&all[1], &token, None).await;
    assert_eq!((missing.status, &missing.body["code"]), (400, &json!("idempotency-key-missing")));
}

#[tokio::test]
async fn what_is_not_hers_is_not_there() {
    let (api, _, token) = shop().await;
    let bob = Uuid::now_v7();
    api.around.register(bob, "Bob").await;
    let his = ids(&api.get("/v1/notifications", &api.around.token(bob)).await);
    let unknown = Uuid::now_v7().to_string();
    for id in [his[0].as_str(), &unknown, "7", "%ff", "counts"] {
        let answer = api.read(id, &token, Some("key")).await;
        assert_eq!((answer.status, &answer.body["code"]), (404, &json!("not-found")), "{id}");
    }
    // The key of a request that found nothing is free.
    let mine = ids(&api.get("/v1/notifications", &token).await);
    assert_eq!(api.read(&mine[0], &token, Some("key")).await.status, 200);
    let counts = api.get("/v1/notifications/counts", &api.around.token(bob)).await;
    assert_eq!(counts.body["unread"], 1);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let (api, _, token) = shop().await;
    let bob = Uuid::now_v7();
    api.around.register(bob, "Bob").await;
    let his = ids(&api.get("/v1/notifications", &api.around.token(bob)).await);
    let (unknown, foreign) = (format!("before={}", Uuid::now_v7()), format!("before={}", his[0]));
    for (query, code) in [
        ("limit=0", "invalid-parameters"),
        ("limit=101", "invalid-parameters"),
        ("limit=many", "invalid-query"),
        ("limit=-1", "invalid-query"),
        ("limit=1&limit=2", "invalid-query"),
        ("unread=maybe", "invalid-query"),
        ("before=7", "invalid-query"),
        (unknown.as_str(), "invalid-parameters"),
        (foreign.as_str(), "invalid-parameters"),
        ("after=7", "invalid-query"),
    ] {
        let answer = api.get(&format!("/v1/notifications?{query}"), &token).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!(code)), "{query}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn only_a_customers_valid_token_opens_anything() {
    let (api, ada, token) = shop().await;
    let (now, hour) = (api.around.clock.now(), Duration::from_secs(3600));
    let machine = api.around.signer.token(ada, "catalogue", now, hour);
    let stranger = Signer::new().token(ada, "customer", now, hour);
    for path in ["/v1/notifications", "/v1/notifications/counts", "/v1/feed"] {
        assert_eq!(api.get(path, &machine).await.status, 403, "{path}");
        assert_eq!(api.get(path, &stranger).await.status, 401, "{path}");
        let nobody = api.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(nobody.status, 401, "{path}");
        assert!(nobody.headers.contains_key("www-authenticate"), "{path}");
    }
    let id = Uuid::now_v7().to_string();
    assert_eq!(api.read(&id, &machine, Some("key")).await.status, 403);
    assert_eq!(api.read(&id, &stranger, Some("key")).await.status, 401);
    api.around.clock.advance(Duration::from_secs(901));
    assert_eq!(api.get("/v1/notifications", &token).await.status, 401, "it has expired");
}

#[tokio::test]
async fn the_feed_is_a_websocket_and_the_document_says_what_there_is() {
    let (api, _, token) = shop().await;
    let plain = api.get("/v1/feed", &token).await;
    assert_eq!((plain.status, &plain.body["code"]), (426, &json!("websocket-required")));
    assert_eq!(plain.headers["upgrade"], "websocket");
    let document = api.get("/openapi.json", &token).await;
    assert_eq!(document.status, 200);
    for (path, method) in [
        ("/v1/notifications", "get"),
        ("/v1/notifications/counts", "get"),
        ("/v1/notifications/{id}/read", "post"),
        ("/v1/feed", "get"),
    ] {
        let responses = &document.body["paths"][path][method]["responses"];
        assert!(responses["401"].is_object(), "{method} {path}: {responses}");
    }
}

#[tokio::test]
async fn flags_that_cannot_be_right_are_usage_errors() {
    for (flag, value) in [
        ("--mail", "mail"),
        ("--mail", "file:"),
        ("--mail", "smtp://"),
        ("--mail", "smtp://host"),
        ("--mail", "smtp://host:0"),
        ("--mail", "smtp://user@host:25"),
        ("--mail-from", "the shop"),
        ("--database", "mysql://localhost"),
    ] {
        let mut arguments = vec!["shop-notifications", "--broker", "log::memory:"];
        if flag != "--database" {
            arguments.extend(["--database", ":memory:"]);
        }
        if flag != "--mail" {
            arguments.extend(["--mail", "smtp://127.0.0.1:25"]);
        }
        arguments.extend([flag, value]);
        let options: Options = clap::Parser::parse_from(arguments);
        let error = open(&options, Arc::new(SystemClock)).await.err().unwrap();
        assert!(error.is_usage(), "{flag} {value}: {error}");
    }
}
