//! The service by `oneshot`, on the demo's catalogue in memory.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use clap::Parser;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use shop_platform::{ManualClock, SystemClock};
use uuid::Uuid;

use super::*;
use crate::catalogue::Entry;
use crate::product_id::ProductId;

mod calls;
mod stock;
mod tokens;

use tokens::Tokens;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

/// Options of a service that nobody else can reach.
fn options(database: &str) -> Options {
    Options::parse_from([
        "shop-products",
        "--listen=127.0.0.1:0",
        "--grpc-listen=127.0.0.1:0",
        "--broker=log::memory:",
        "--database",
        database,
    ])
}

async fn shop() -> Router {
    let options = options(&shop_platform::testing::database());
    let service = prepare(&options, Arc::new(SystemClock)).await.unwrap();
    service.router(&options.server).unwrap()
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status: head.status.as_u16(), headers: head.headers, body, text }
}

async fn get(app: &Router, path: &str) -> Answer {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.body["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_catalogue_has_two_hundred_products_with_exact_prices() {
    let app = shop().await;
    let first = get(&app, "/v1/products").await;
    assert_eq!((first.status, &first.body["total"]), (200, &200.into()));
    assert_eq!((&first.body["page"], &first.body["pages"]), (&1.into(), &10.into()));
    assert_eq!(ids(&first).len(), 20);
    assert_eq!(first.headers["cache-control"], "public, max-age=10");
    let one = get(&app, "/v1/products/walnut-desk-lamp").await;
    assert_eq!(one.status, 200);
    assert_eq!(one.body["name"], "Walnut Desk Lamp");
    assert_eq!(one.body["price"], serde_json::json!({"minor_units": 8900, "currency": "EUR"}));
    assert_eq!(one.body["available"], 1000);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = shop().await;
    for id in ["nothing", "%27%20OR%201=1%20--", "%25", "%ff", "WALNUT-DESK-LAMP", "a%2fb", "%00"] {
        let answer = get(&app, &format!("/v1/products/{id}")).await;
        assert_eq!((answer.status, &answer.body["code"]), (404, &"not-found".into()), "{id}");
    }
}

#[tokio::test]
async fn pages_tile_every_listing_without_gap_or_overlap() {
    let app = shop().await;
    for filter in
        ["", "&sort=-name", "&sort=price", "&sort=-price", "&search=wo", "&category=books"]
    {
        let whole: Vec<String> = {
            let one = get(&app, &format!("/v1/products?per_page=100{filter}")).await;
            let two = get(&app, &format!("/v1/products?per_page=100&page=2{filter}")).await;
            [ids(&one), ids(&two)].concat()
        };
        assert!(whole.len() >= 10, "{filter}");
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), whole.len(), "{filter}");
        for per_page in [1, 7, 20, 99] {
            let mut tiled = Vec::new();
            let mut next = Some(format!("/v1/products?per_page={per_page}{filter}"));
            // By following the links, as a client would.
            while let Some(url) = next {
                let answer = get(&app, &url).await;
                assert_eq!(answer.body["total"], whole.len(), "{url}");
                tiled.extend(ids(&answer));
                let links = answer.headers["link"].to_str().unwrap();
                let link = links.split(", ").find(|link| link.ends_with("rel=\"next\""));
                next = link.map(|link| link[1..link.find('>').unwrap()].to_owned());
            }
            assert_eq!(tiled, whole, "{filter} by {per_page}");
        }
    }
    let beyond = get(&app, "/v1/products?page=10000").await;
    assert_eq!((beyond.status, ids(&beyond).len()), (200, 0));
    assert_eq!(beyond.body["total"], 200);
}

#[tokio::test]
async fn listings_are_in_the_order_that_was_asked_for() {
    let app = shop().await;
    let column = async |sort: &str, name: &str| -> Vec<Value> {
        let answer = get(&app, &format!("/v1/products?per_page=100&sort={sort}")).await;
        let items = answer.body["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| item.pointer(name).unwrap().clone()).collect()
    };
    let price = |value: &Value| value.as_i64().unwrap();
    assert!(column("price", "/price/minor_units").await.is_sorted_by_key(price));
    assert!(column("-price", "/price/minor_units").await.is_sorted_by_key(|v| -price(v)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(column("name", "/name").await.is_sorted_by_key(text));
    assert!(column("-name", "/name").await.iter().rev().is_sorted_by_key(text));
}

#[tokio::test]
async fn searching_finds_words_by_their_beginning_in_any_case_and_accent() {
    let app = shop().await;
    let check = async |search: &str, first: Option<&str>| {
        let answer = get(&app, &format!("/v1/products?search={search}")).await;
        assert_eq!(answer.status, 200, "{search}: {}", answer.text);
        assert_eq!(ids(&answer).first().map(String::as_str), first, "{search}");
    };
    check("walnut%20lamp", Some("walnut-desk-lamp")).await;
    check("WALN+lam", Some("walnut-desk-lamp")).await;
    check("w%C3%A4lnut+lamp", Some("walnut-desk-lamp")).await;
    check("telescope", Some("telescope-for-beginners")).await;
    check("alnut", None).await;
    check("walnut+telescope", None).await;
    let books = get(&app, "/v1/products?search=bread&category=books").await;
    assert_eq!(ids(&books), ["the-practical-baker"]);
    let unfiltered = get(&app, "/v1/products?search=bread").await;
    assert_eq!(ids(&unfiltered)[0], "bread-knife-24-cm", "a word in the name counts most");
    assert!(ids(&unfiltered).contains(&"the-practical-baker".to_owned()));
}

#[tokio::test]
async fn no_search_text_is_an_order_to_the_database() {
    let app = shop().await;
    for attempt in [
        "'; DROP TABLE products; --",
        "\" OR \"\"=\"",
        "' OR '1'='1",
        "%",
        "_",
        "*",
        "\"",
        "\"\"",
        "\"*",
        "(",
        ")",
        "a AND",
        "OR",
        "NOT a",
        "NEAR(a b)",
        "name:a",
        "{name}:a",
        "^a",
        "a + b",
        "-a",
        "a*b",
        "\0",
        "a\0\"",
        "\\",
        "\u{feff}",
        "²",
        "🌊",
        "a\"b\"*",
        ":",
        "$1",
        "?1",
        "sqlite_master",
        "UNION SELECT password FROM accounts",
    ] {
        let encoded =
            percent_encoding::utf8_percent_encode(attempt, percent_encoding::NON_ALPHANUMERIC);
        for parameter in ["search", "category"] {
            let answer = get(&app, &format!("/v1/products?{parameter}={encoded}")).await;
            assert_eq!(answer.status, 200, "{parameter}={attempt:?}: {}", answer.text);
            let everything = answer.body["total"] == 200;
            assert!(!everything, "{parameter}={attempt:?} matches everything");
        }
    }
    assert_eq!(get(&app, "/v1/products").await.body["total"], 200);
}

#[tokio::test]
async fn parameters_that_cannot_be_meant_are_refused() {
    let app = shop().await;
    let long = format!("search={}", "a".repeat(101));
    for query in [
        "page=0",
        "page=-1",
        "page=x",
        "page=1.5",
        "page=",
        "page=10001",
        "page=99999999999",
        "per_page=0",
        "per_page=101",
        "sort=random",
        "sort=",
        "sort=name%3B--",
        "limit=5",
        "page=1&page=2",
        &long,
    ] {
        let answer = get(&app, &format!("/v1/products?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let empty = get(&app, "/v1/products?search=&category=").await;
    assert_eq!(empty.body["total"], 200, "a form sends empty fields");
}

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let app = shop().await;
    for path in ["/v1/products?search=lamp", "/v1/products/walnut-desk-lamp"] {
        let full = get(&app, path).await;
        let tag = full.headers["etag"].clone();
        let request = Request::get(path).header("if-none-match", &tag);
        let known = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        assert_eq!(known.headers["etag"], tag);
        let request = Request::get(path).header("if-none-match", "\"other\"");
        assert_eq!(send(&app, request.body(Body::empty()).unwrap()).await.text, full.text);

        let head = send(&app, Request::head(path).body(Body::empty()).unwrap()).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        assert_eq!(head.headers["etag"], tag);
        assert_eq!(head.headers["content-length"], full.text.len().to_string());
    }
}

/// Which products a search finds.
async fn found(app: &Router, search: &str) -> Vec<String> {
    ids(&get(app, &format!("/v1/products?search={search}")).await)
}

#[tokio::test]
async fn the_index_follows_the_table() {
    let options = options(&shop_platform::testing::database());
    let service = prepare(&options, Arc::new(SystemClock)).await.unwrap();
    let database = service.database.clone();
    let app = service.router(&options.server).unwrap();
    assert_eq!(found(&app, "telescope").await, ["telescope-for-beginners"]);
    assert_eq!(found(&app, "periscope").await, [""; 0]);
    let id = ProductId::try_new("telescope-for-beginners").unwrap();
    let (name, category, description) = ("Periscope", "toys", "Looks round corners.");
    let entry = Entry { id: &id, name, category, description, price_minor: 1990, currency: "EUR" };
    let mut transaction = database.begin_write().await.unwrap();
    catalogue::write(&mut transaction, entry).await.unwrap();
    database.commit(transaction, "test").await.unwrap();
    assert_eq!(found(&app, "telescope").await, [""; 0]);
    assert_eq!(found(&app, "peri").await, ["telescope-for-beginners"]);
    let delete = "DELETE FROM products WHERE id = 'telescope-for-beginners'";
    sqlx::query(delete).execute(database.pool()).await.unwrap();
    assert_eq!(found(&app, "periscope").await, [""; 0]);
    let words: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM product_words WHERE product_id = 'telescope-for-beginners'",
    )
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert_eq!(words, 0, "words go with their product");
}

#[tokio::test]
async fn matches_are_ranked_by_where_the_words_are() {
    let mut options = options(&shop_platform::testing::database());
    options.seed = Seed::None;
    let service = prepare(&options, Arc::new(SystemClock)).await.unwrap();
    let database = service.database.clone();
    let app = service.router(&options.server).unwrap();
    let mut transaction = database.begin_write().await.unwrap();
    for (id, name, category, description) in [
        ("d", "Towel", "home", "A towel for the kitchen, kitchen, kitchen."),
        ("c", "Kitchen Roll", "home", "Paper."),
        ("b", "Pan", "kitchen", "Iron."),
        ("a", "Pot", "kitchen", "Iron."),
        ("e", "Kitchen Knife", "kitchen", "Steel."),
    ] {
        let id = ProductId::try_new(id).unwrap();
        let entry = Entry { id: &id, name, category, description, price_minor: 1, currency: "EUR" };
        catalogue::write(&mut transaction, entry).await.unwrap();
    }
    database.commit(transaction, "test").await.unwrap();
    assert_eq!(found(&app, "kitchen").await, ["e", "c", "a", "b", "d"], "ties by id");
    assert_eq!(found(&app, "iron+kit").await, ["a", "b"], "every word must match");
    assert_eq!(found(&app, "kit+kitchen").await, ["e", "c", "a", "b", "d"]);
    let sorted = get(&app, "/v1/products?search=kitchen&sort=name").await;
    assert_eq!(ids(&sorted), ["e", "c", "b", "a", "d"]);
}

#[tokio::test]
async fn a_restart_neither_seeds_again_nor_undoes_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/products.db", directory.path().display());
    let options = |seed| Options { seed, ..options(&url) };
    let empty = prepare(&options(Seed::None), Arc::new(SystemClock)).await.unwrap();
    let app = empty.router(&ServerOptions::default()).unwrap();
    let answer = get(&app, "/v1/products").await;
    assert_eq!((&answer.body["total"], &answer.body["pages"]), (&0.into(), &0.into()));
    let first = prepare(&options(Seed::Demo), Arc::new(SystemClock)).await.unwrap();
    let delete = "DELETE FROM products WHERE category = 'books'";
    sqlx::query(delete).execute(first.database.pool()).await.unwrap();
    drop(first);
    let second = prepare(&options(Seed::Demo), Arc::new(SystemClock)).await.unwrap();
    let app = second.router(&ServerOptions::default()).unwrap();
    assert_eq!(get(&app, "/v1/products").await.body["total"], 180);
}

#[tokio::test]
async fn an_expiry_without_pauses_is_refused() {
    let options =
        Options { expiry_interval: Duration::ZERO, ..options(&shop_platform::testing::database()) };
    let refused = prepare(&options, Arc::new(SystemClock)).await.err().unwrap();
    assert!(refused.is_usage(), "{refused}");
}
