//! The service by `oneshot`, on a database in memory and a clock that stands still.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use shop_platform::{ManualClock, UnixTime};
use tower::ServiceExt;

use super::*;
use crate::password::PasswordCost;
use crate::token::Claims;

mod forgery;
mod oauth;
mod openapi;
mod postgres;
mod registration;

struct Shop {
    app: Router,
    clock: Arc<ManualClock>,
    keys: Arc<KeyRing>,
    database: Database,
}

/// As it starts by default, but for what tests do not want to share or to wait for.
fn options(database: &str) -> Options {
    let arguments = ["shop-users", "--database", database, "--broker", "log::memory:"];
    let mut options: Options = clap::Parser::parse_from(arguments);
    options.password_cost = PasswordCost::Cheapest;
    options.backoffice_secret = Some(BACKOFFICE_SECRET.parse().unwrap());
    options
}

async fn shop_with(options: &Options, now: UnixTime) -> Shop {
    let clock = Arc::new(ManualClock::at(now));
    let prepared = prepare(options, clock.clone()).await.unwrap();
    let database = prepared.service.database.clone();
    let app = prepared.service.router(&options.server).unwrap();
    Shop { app, clock, keys: prepared.keys, database }
}

async fn shop_at(database: &str, now: UnixTime) -> Shop {
    shop_with(&options(database), now).await
}

/// The present, for libraries that read the machine's clock: tokens made here are valid to them
/// too.
async fn shop() -> Shop {
    shop_at(&shop_platform::testing::database(), shop_platform::SystemClock.now()).await
}

const BACKOFFICE_SECRET: &str = "backoffice-secret-of-48-characters-0123456789abc";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Shop {
    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), headers: head.headers, body, text }
    }

    async fn get(&self, path: &str, authorization: Option<&str>) -> Answer {
        let mut request = Request::builder().uri(path);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let request = Request::builder().method("POST").uri(path);
        let request = request.header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn register(&self, email: &str) -> Answer {
        let body = json!({"email": email, "password": "correct horse battery",
            "display_name": "Ada"});
        self.post("/v1/users", body).await
    }

    async fn log_in(&self, email: &str, password: &str) -> Answer {
        self.post("/v1/sessions", json!({"email": email, "password": password})).await
    }

    async fn token(&self, email: &str) -> String {
        self.register(email).await;
        let answer = self.log_in(email, "correct horse battery").await;
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    async fn metric(&self, line_start: &str) -> u64 {
        let text = self.get("/metrics", None).await.text;
        let line = text.lines().find(|line| line.starts_with(line_start));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

#[tokio::test]
async fn a_customer_registers_logs_in_and_sees_herself() {
    let shop = shop().await;
    let registered = shop.register("Ada@Example.com").await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    assert_eq!(registered.headers["cache-control"], "no-store");
    assert_eq!(registered.body["email"], "Ada@Example.com");
    assert!(!registered.text.contains("argon2") && !registered.text.contains("horse"));

    let session = shop.log_in("ada@example.COM", "correct horse battery").await;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.headers["cache-control"], "no-store");
    assert_eq!(session.body["token_type"], "Bearer");
    assert_eq!(session.body["expires_in"], 900);
    assert_eq!(session.body["scope"], "customer");

    let token = session.body["access_token"].as_str().unwrap();
    let me = shop.get("/v1/users/me", Some(&format!("Bearer {token}"))).await;
    assert_eq!(me.status, 200, "{}", me.text);
    assert_eq!(me.body, registered.body);
}

#[tokio::test]
async fn the_published_keys_verify_an_issued_token() {
    let shop = shop().await;
    let token = shop.token("ada@example.com").await;
    let published = shop.get("/.well-known/jwks.json", None).await;
    assert_eq!(published.headers["cache-control"], "public, max-age=15");
    assert!(!published.text.contains("\"d\""), "no private part: {}", published.text);
    let set: JwkSet = serde_json::from_str(&published.text).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("JWT")));
    let key = set.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&["http://users.shop"]);
    validation.set_audience(&["shop"]);
    validation.validate_nbf = true;
    let key = DecodingKey::from_jwk(key).unwrap();
    let claims = jsonwebtoken::decode::<Claims>(&token, &key, &validation).unwrap().claims;
    assert_eq!(claims.exp - claims.iat, 900);
    assert_eq!(claims.nbf, claims.iat);
    assert_eq!(claims.scope, "customer");
    assert_ne!(claims.jti, "");

    let discovery = shop.get("/.well-known/openid-configuration", None).await;
    assert_eq!(discovery.body["issuer"], "http://users.shop");
    assert_eq!(discovery.body["jwks_uri"], "http://users.shop/.well-known/jwks.json");
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let shop = shop().await;
    let before = shop.metric("shop_users_password_hashes_total").await;
    let body = json!({"email": "nobody", "password": "short", "display_name": ""});
    let answer = shop.post("/v1/users", body).await;
    assert_eq!(answer.status, 422);
    let fields: Vec<_> =
        answer.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["email", "password", "display_name"]);
    assert_eq!(shop.metric("shop_users_password_hashes_total").await, before);
    let unknown = json!({"email": "a@b.c", "password": "correct horse battery",
        "display_name": "Ada", "scope": "admin"});
    assert_eq!(shop.post("/v1/users", unknown).await.body["code"], "invalid-body");
}

#[tokio::test]
async fn a_taken_address_costs_a_hash_and_is_refused_in_any_case() {
    let shop = shop().await;
    let before = shop.metric("shop_users_password_hashes_total").await;
    assert_eq!(shop.register("ada@example.com").await.status, 201);
    let again = shop.register("ADA@example.com").await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("email-taken")));
    assert_eq!(shop.metric("shop_users_password_hashes_total").await, before + 2);
    assert_eq!(shop.metric("shop_users_registrations_total").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_registrations_at_once_exactly_one_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/users.db", directory.path().display());
    registrations_at_once(Arc::new(shop_at(&url, UnixTime::from_seconds(1_700_000_000)).await))
        .await;
}

async fn registrations_at_once(shop: Arc<Shop>) {
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move { shop.register("ada@example.com").await.status })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            201 => made += 1,
            status => assert_eq!(status, 409),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_look_and_cost_the_same() {
    let shop = shop().await;
    shop.register("ada@example.com").await;
    let hashes = "shop_users_password_hashes_total";
    let mut seen = Vec::new();
    for email in ["ada@example.com", "eve@example.com"] {
        let before = shop.metric(hashes).await;
        let answer = shop.log_in(email, "wrong password").await;
        let mut headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        let cost = shop.metric(hashes).await - before;
        seen.push((answer.status, answer.text, headers, cost));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!((seen[0].0, seen[0].3), (401, 1));
}

#[tokio::test]
async fn guessing_is_throttled_by_account_and_costs_no_hash() {
    let shop = shop().await;
    shop.register("ada@example.com").await;
    shop.register("bob@example.com").await;
    for email in ["ada@example.com", "nobody@example.com"] {
        for _ in 0..10 {
            assert_eq!(shop.log_in(email, "wrong password").await.status, 401);
        }
        let before = shop.metric("shop_users_password_hashes_total").await;
        let refused = shop.log_in(email, "correct horse battery").await;
        assert_eq!(refused.status, 429, "also with the right password");
        assert_eq!(refused.headers["retry-after"], "30");
        assert_eq!(shop.metric("shop_users_password_hashes_total").await, before);
    }
    assert_eq!(shop.log_in("bob@example.com", "correct horse battery").await.status, 200);
    assert_eq!(shop.metric("shop_users_logins_total{outcome=\"throttled\"}").await, 2);
    shop.clock.advance(Duration::from_secs(30));
    assert_eq!(shop.log_in("ada@example.com", "correct horse battery").await.status, 200);
    assert_eq!(shop.log_in("ada@example.com", "wrong password").await.status, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let shop = shop().await;
    let bearer = format!("bearer {}", shop.token("ada@example.com").await);
    shop.clock.advance(Duration::from_secs(899));
    assert_eq!(shop.get("/v1/users/me", Some(&bearer)).await.status, 200);
    shop.clock.advance(Duration::from_secs(1));
    let answer = shop.get("/v1/users/me", Some(&bearer)).await;
    assert_eq!((answer.status, &answer.body["code"]), (401, &json!("token-expired")));
    assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn a_rotated_key_takes_over_and_old_tokens_go_on() {
    let shop = shop().await;
    let old = shop.token("ada@example.com").await;
    shop.keys.rotate(shop.clock.now()).await.unwrap();
    shop.clock.advance(Duration::from_secs(600));
    let new = shop.log_in("ada@example.com", "correct horse battery").await;
    let new = new.body["access_token"].as_str().unwrap().to_owned();
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert_ne!(kid(&old), kid(&new));
    for token in [&old, &new] {
        let answer = shop.get("/v1/users/me", Some(&format!("Bearer {token}"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_restart_keeps_accounts_keys_and_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/users.db", directory.path().display());
    let now = UnixTime::from_seconds(1_700_000_000);
    let first = shop_at(&url, now).await;
    let token = first.token("ada@example.com").await;
    let keys = first.get("/.well-known/jwks.json", None).await.text;
    drop(first);
    let second = shop_at(&url, now).await;
    assert_eq!(second.get("/.well-known/jwks.json", None).await.text, keys);
    assert_eq!(second.log_in("ada@example.com", "correct horse battery").await.status, 200);
    let me = second.get("/v1/users/me", Some(&format!("Bearer {token}"))).await;
    assert_eq!(me.body["email"], "ada@example.com");
}

#[tokio::test]
async fn flags_that_cannot_be_right_are_usage_errors() {
    for (flag, value) in [
        ("--issuer", "users.shop"),
        ("--issuer", "http://users.shop/"),
        ("--issuer", "https://"),
        ("--audience", ""),
        ("--token-lifetime", "25h"),
        ("--token-lifetime", "0s"),
        ("--key-lead", "14s"),
        ("--key-lifetime", "1s"),
        ("--audience", "shop-web"),
        ("--refresh-idle", "14m"),
        ("--refresh-lifetime", "29d"),
        ("--database", "mysql://localhost"),
    ] {
        let arguments = ["shop-users", "--database", ":memory:", flag, value];
        let arguments =
            if flag == "--database" { &[arguments[0], flag, value] } else { &arguments[..] };
        let options: Options = clap::Parser::parse_from(arguments);
        let error = prepare(&options, Arc::new(shop_platform::SystemClock)).await.err().unwrap();
        assert!(error.is_usage(), "{flag} {value}: {error}");
    }
}

#[tokio::test]
async fn it_listens_on_a_free_port_and_stops_when_told() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut options = options(&shop_platform::testing::database());
    options.listen = "127.0.0.1:0".parse().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = Box::pin(async { drop(stopped.await) });
    let clock = Arc::new(shop_platform::SystemClock);
    let bound = build(&options, clock, shutdown).await.unwrap();
    assert_ne!(bound.address.port(), 0);
    let ended = tokio::spawn(bound.run);
    let mut stream = tokio::net::TcpStream::connect(bound.address).await.unwrap();
    let request = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"kid\""), "{answer}");
    stop.send(()).unwrap();
    assert_eq!(ended.await.unwrap().cut, 0);
}

/// An ID token is for the client: it must not open what an access token does.
#[tokio::test]
async fn access_tokens_are_not_for_a_client() {
    let mut options = options(&shop_platform::testing::database());
    options.audience = "shop-web".to_owned();
    let prepared = prepare(&options, Arc::new(shop_platform::SystemClock)).await;
    let refused = matches!(prepared.err(), Some(StartError::Option { option: "audience", .. }));
    assert!(refused, "the audience is a client's id");
}

#[test]
fn the_memory_cost_is_owasps_unless_a_test_says_otherwise() {
    let options: Options = clap::Parser::parse_from(["shop-users"]);
    assert_eq!(options.password_cost, PasswordCost::Owasp);
}

fn status(answer: &Answer) -> StatusCode {
    StatusCode::from_u16(answer.status).unwrap()
}
