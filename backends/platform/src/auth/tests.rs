//! Tokens good and bad, and keys that come, go and cannot be had.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::get;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::server::{Protocol, listen};
use crate::settings::ServerOptions;

const ISSUER: &str = "http://users.shop";

struct Key {
    kid: String,
    encoding: EncodingKey,
    jwk: Jwk,
}

fn key(kid: &str) -> Key {
    let pair = rcgen::KeyPair::generate().unwrap();
    let encoding = EncodingKey::from_ec_der(pair.serialized_der());
    let mut jwk = Jwk::from_encoding_key(&encoding, ALGORITHM).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Key { kid: kid.to_owned(), encoding, jwk }
}

impl Key {
    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(ALGORITHM);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }

    fn token(&self, now: UnixTime) -> String {
        self.sign(&claims(now))
    }
}

fn claims(now: UnixTime) -> Value {
    let now = now.seconds();
    json!({"iss": ISSUER, "aud": "shop", "sub": Uuid::nil(), "scope": "customer staff",
        "iat": now, "nbf": now, "exp": now + 900, "jti": "1"})
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(UnixTime::from_seconds(1_735_689_599)))
}

fn fixed(key: &Key, clock: &Arc<ManualClock>) -> Verifier {
    let jwks = JwkSet { keys: vec![key.jwk.clone()] };
    Verifier::with_keys(jwks, ISSUER, "shop", Arc::clone(clock) as Arc<dyn Clock>)
}

#[tokio::test]
async fn a_valid_token_names_its_caller() {
    let (key, clock) = (key("k-1"), clock());
    let caller = fixed(&key, &clock).verify(&key.token(clock.now())).await.unwrap();
    assert_eq!(caller.account, Uuid::nil());
    assert!(caller.require("customer").is_ok() && caller.require("staff").is_ok());
    let refused = caller.require("custom").unwrap_err().into_response();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn tokens_that_differ_by_one_thing_are_refused() {
    let (key, clock) = (key("k-1"), clock());
    let verifier = fixed(&key, &clock);
    let check = async |name: &str, value: Value, expected: Option<AuthError>| {
        let mut claims = claims(clock.now());
        match value.clone() {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        let found = verifier.verify(&key.sign(&claims)).await.err();
        assert_eq!(found, expected, "{name}: {value}");
    };
    let now = clock.now().seconds();
    check("jti", json!("2"), None).await;
    check("scope", Value::Null, None).await;
    check("aud", json!(["shop", "mill"]), None).await;
    check("nbf", json!(now + 20), None).await;
    check("nbf", json!(now + 60), Some(AuthError::Invalid)).await;
    check("exp", json!(now), Some(AuthError::Expired)).await;
    for (name, value) in [
        ("iss", json!("http://elsewhere.shop")),
        ("aud", json!("mill")),
        ("sub", json!("ada")),
        ("iss", Value::Null),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("exp", Value::Null),
        ("nbf", Value::Null),
    ] {
        check(name, value, Some(AuthError::Invalid)).await;
    }
}

#[tokio::test]
async fn foreign_keys_and_algorithms_are_refused() {
    let (ours, foreign, clock) = (key("k-1"), key("k-1"), clock());
    let verifier = fixed(&ours, &clock);
    let claims = claims(clock.now());
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.kid = Some("k-1".to_owned());
    let public = serde_json::to_vec(&ours.jwk).unwrap();
    let secret = EncodingKey::from_secret(&public);
    let nameless = Header::new(ALGORITHM);
    let good = ours.token(clock.now());
    for token in [
        foreign.token(clock.now()),
        jsonwebtoken::encode(&symmetric, &claims, &secret).unwrap(),
        jsonwebtoken::encode(&nameless, &claims, &ours.encoding).unwrap(),
        key("k-2").token(clock.now()),
        good[..good.len() - 4].to_owned(),
        "a.b.c".to_owned(),
        String::new(),
        "a".repeat(TOKEN_LIMIT + 1),
    ] {
        assert_eq!(verifier.verify(&token).await, Err(AuthError::Invalid), "{token}");
    }
    assert!(verifier.verify(&good).await.is_ok());
}

#[tokio::test]
async fn a_router_answers_for_whoever_has_no_valid_token() {
    #[derive(Clone)]
    struct State(Verifier);
    impl FromRef<State> for Verifier {
        fn from_ref(state: &State) -> Self {
            state.0.clone()
        }
    }
    let (key, clock) = (key("k-1"), clock());
    let app = Router::new()
        .route("/me", get(|caller: Caller| async move { caller.account.to_string() }))
        .with_state(State(fixed(&key, &clock)));
    let token = key.token(clock.now());
    let check = async |values: &[String], expected: u16, challenged: bool| {
        let mut request = Request::builder().uri("/me");
        for value in values {
            request = request.header(AUTHORIZATION, value);
        }
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{values:?}");
        assert_eq!(response.headers().contains_key("www-authenticate"), challenged, "{values:?}");
    };
    check(&[format!("Bearer {token}")], 200, false).await;
    check(&[format!("bearer  {token}")], 200, false).await;
    check(&[], 401, true).await;
    check(&["Basic YTpi".to_owned()], 401, true).await;
    check(&["Bearer".to_owned()], 401, true).await;
    check(&["Bearer rubbish".to_owned()], 401, true).await;
    check(&[format!("Bearer {token}"), format!("Bearer {token}")], 400, false).await;
}

/// A users service that publishes what it is told to.
struct Publisher {
    answer: Mutex<Result<JwkSet, StatusCode>>,
    fetches: AtomicU32,
}

impl Publisher {
    fn publish(&self, keys: &[&Key]) {
        let keys = keys.iter().map(|key| key.jwk.clone()).collect();
        *self.answer.lock().unwrap() = Ok(JwkSet { keys });
    }

    fn break_down(&self) {
        *self.answer.lock().unwrap() = Err(StatusCode::INTERNAL_SERVER_ERROR);
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::Relaxed)
    }
}

async fn publisher() -> (Arc<Publisher>, SocketAddr) {
    let none = Mutex::new(Err(StatusCode::SERVICE_UNAVAILABLE));
    let publisher = Arc::new(Publisher { answer: none, fetches: AtomicU32::new(0) });
    let keys = Arc::clone(&publisher);
    let app = Router::new().route(
        "/keys",
        get(async move || {
            keys.fetches.fetch_add(1, Ordering::Relaxed);
            let answer = keys.answer.lock().unwrap().clone();
            answer.map(|set| ([("cache-control", "public, max-age=15")], axum::Json(set)))
        }),
    );
    let options = ServerOptions::default();
    let any = "127.0.0.1:0".parse().unwrap();
    let listening = listen(app, Protocol::http1(&options), any, &options).await.unwrap();
    let address = listening.address;
    tokio::spawn(listening.run(Box::pin(std::future::pending())));
    (publisher, address)
}

fn fetching(address: SocketAddr, clock: &Arc<ManualClock>) -> Verifier {
    let options = AuthOptions {
        jwks_url: format!("http://{address}/keys"),
        issuer: ISSUER.to_owned(),
        audience: "shop".to_owned(),
    };
    Verifier::try_new(&options, Arc::clone(clock) as Arc<dyn Clock>).unwrap()
}

#[tokio::test]
async fn keys_are_fetched_when_needed_and_not_for_every_unknown_one() {
    let ((publisher, address), clock) = (publisher().await, clock());
    let verifier = fetching(address, &clock);
    let (first, second) = (key("k-1"), key("k-2"));
    publisher.publish(&[&first]);
    assert_eq!(publisher.fetches(), 0);
    for _ in 0..3 {
        verifier.verify(&first.token(clock.now())).await.unwrap();
    }
    assert_eq!(publisher.fetches(), 1);

    // The next key is found as soon as a fetch is allowed again.
    publisher.publish(&[&first, &second]);
    let next = second.token(clock.now());
    assert_eq!(verifier.verify(&next).await, Err(AuthError::Invalid));
    assert_eq!(publisher.fetches(), 1);
    clock.advance(Duration::from_secs(5));
    verifier.verify(&next).await.unwrap();
    assert_eq!(publisher.fetches(), 2);
    for _ in 0..10 {
        let made_up = key("made-up").token(clock.now());
        assert_eq!(verifier.verify(&made_up).await, Err(AuthError::Invalid));
    }
    assert_eq!(publisher.fetches(), 2);

    // A key that was withdrawn is refused when the set is old.
    publisher.publish(&[&second]);
    clock.advance(Duration::from_secs(15));
    assert_eq!(verifier.verify(&first.token(clock.now())).await, Err(AuthError::Invalid));
    assert_eq!(publisher.fetches(), 3);
}

#[tokio::test]
async fn the_last_good_keys_stay_in_use_while_none_can_be_fetched() {
    let ((publisher, address), clock) = (publisher().await, clock());
    let (verifier, key) = (fetching(address, &clock), key("k-1"));
    publisher.break_down();
    let token = key.token(clock.now());
    let unavailable = verifier.verify(&token).await.unwrap_err();
    assert_eq!(unavailable.problem().into_response().status(), 503);
    publisher.publish(&[&key]);
    clock.advance(Duration::from_secs(5));
    verifier.verify(&token).await.unwrap();
    publisher.break_down();
    clock.advance(Duration::from_secs(600));
    verifier.verify(&key.token(clock.now())).await.unwrap();
    assert_eq!(publisher.fetches(), 3);
    // Nobody there at all.
    let nobody = fetching("127.0.0.1:1".parse().unwrap(), &clock);
    assert_eq!(nobody.verify(&token).await, Err(AuthError::Unavailable));
}

#[tokio::test]
async fn many_at_once_fetch_once() {
    let ((publisher, address), clock) = (publisher().await, clock());
    let (verifier, key) = (fetching(address, &clock), key("k-1"));
    publisher.publish(&[&key]);
    let token = key.token(clock.now());
    let callers = (0..20).map(|_| {
        let (verifier, token) = (verifier.clone(), token.clone());
        tokio::spawn(async move { verifier.verify(&token).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(publisher.fetches(), 1);
}

#[tokio::test]
async fn whoever_hangs_up_keeps_nobody_from_the_keys() {
    let ((publisher, address), clock) = (publisher().await, clock());
    let (verifier, key) = (fetching(address, &clock), key("k-1"));
    publisher.publish(&[&key]);
    let token = key.token(clock.now());
    let mut given_up = Box::pin(verifier.verify(&token));
    tokio::select! {
        biased;
        _ = &mut given_up => panic!("there was no time to fetch anything"),
        () = tokio::task::yield_now() => {}
    }
    drop(given_up);
    verifier.verify(&token).await.unwrap();
    assert_eq!(publisher.fetches(), 1);
}
