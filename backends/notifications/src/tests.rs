//! The service, on a database and a broker in memory and a clock that stands still.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use shop_platform::{BoxFuture, Event, ManualClock, RequestContext, SystemClock, UnixTime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;

mod api;
mod engines;
mod events;
mod feed;
mod letters;
mod socket;

const ISSUER: &str = "http://users.shop";
const AUDIENCE: &str = "shop";

/// Signs tokens as the users service does.
struct Signer {
    key: EncodingKey,
    kid: String,
    published: JwkSet,
}

impl Signer {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        let kid = "test".to_owned();
        jwk.common.key_id = Some(kid.clone());
        Self { key, kid, published: JwkSet { keys: vec![jwk] } }
    }

    fn token(&self, account: Uuid, scope: &str, now: UnixTime, lifetime: Duration) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.clone());
        let (now, end) = (now.seconds(), now.plus(lifetime).seconds());
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": account, "scope": scope,
            "iat": now, "nbf": now, "exp": end, "jti": Uuid::new_v4()});
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

/// The service before it runs, and what stands around it.
struct Shop {
    options: Options,
    prepared: Prepared,
    database: Database,
    broker: Broker,
    seats: Arc<Seats>,
    clock: Arc<ManualClock>,
    signer: Arc<Signer>,
    _directory: tempfile::TempDir,
}

impl Shop {
    async fn new() -> Self {
        Self::with(&[], Heartbeat::default()).await
    }

    async fn with(flags: &[&str], heartbeat: Heartbeat) -> Self {
        let broker = Broker::open("log::memory:").await.unwrap();
        Self::at(flags, heartbeat, broker).await
    }

    async fn at(flags: &[&str], heartbeat: Heartbeat, broker: Broker) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mail = format!("file:{}", directory.path().join("mail").display());
        let database = shop_platform::testing::database();
        let mut arguments = vec!["shop-notifications", "--listen", "127.0.0.1:0"];
        if !flags.contains(&"--database") {
            arguments.extend(["--database", &database]);
        }
        if !flags.contains(&"--mail") {
            arguments.extend(["--mail", &mail]);
        }
        arguments.extend(flags);
        let options: Options = clap::Parser::parse_from(arguments);
        // The present, for libraries that read the machine's clock.
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let signer = Arc::new(Signer::new());
        let parts = Parts {
            verifier: Verifier::with_keys(
                signer.published.clone(),
                ISSUER,
                AUDIENCE,
                clock.clone(),
            ),
            broker: broker.clone(),
            heartbeat,
            clock: clock.clone(),
        };
        let prepared = assemble(&options, parts).await.unwrap();
        let (database, seats) = (prepared.service.database.clone(), prepared.seats.clone());
        Self { options, prepared, database, broker, seats, clock, signer, _directory: directory }
    }

    /// Serves at a port of its own, consumes and sends.
    fn run(self) -> BoxFuture<'static, Running> {
        Box::pin(async move {
            let (stop, stopped) = oneshot::channel::<()>();
            let shutdown = Box::pin(async { drop(stopped.await) });
            let Self { options, prepared, database, broker, seats, clock, signer, _directory } =
                self;
            let bound = bind(prepared, &options, shutdown).await.unwrap();
            let address = bound.address;
            let ended = tokio::spawn(bound.run);
            let around = Around { database, broker, seats, clock, signer, _directory };
            Running { address, stop, ended, around }
        })
    }

    /// The routes, to be called without a socket.
    fn api(self) -> Api {
        let Self { options, prepared, database, broker, seats, clock, signer, _directory } = self;
        let app = prepared.service.router(&options.server).unwrap();
        Api { app, around: Around { database, broker, seats, clock, signer, _directory } }
    }
}

/// What a test reaches the service by, beside its socket.
struct Around {
    database: Database,
    broker: Broker,
    seats: Arc<Seats>,
    clock: Arc<ManualClock>,
    signer: Arc<Signer>,
    _directory: tempfile::TempDir,
}

impl Around {
    fn token(&self, account: Uuid) -> String {
        self.signer.token(account, "customer", self.clock.now(), Duration::from_secs(900))
    }

    /// Handles an event as another process would: nothing in this one is told of it.
    async fn tell(&self, event: &Event) {
        let elsewhere = Events {
            seats: Arc::new(Seats::new(0, prometheus::IntGauge::new("feeds", "Feeds").unwrap())),
            added: Arc::default(),
            clock: self.clock.clone(),
        };
        let mut transaction = self.database.begin_write().await.unwrap();
        shop_platform::Handler::handle(&elsewhere, &mut transaction, event).await.unwrap();
        self.database.commit(transaction, "test").await.unwrap();
    }

    async fn register(&self, account: Uuid, name: &str) {
        self.tell(&registered(account, name)).await;
    }

    async fn publish(&self, event: &Event) {
        self.broker.publish(event).await.unwrap();
    }

    /// The kinds of an account's messages, oldest first.
    async fn kinds(&self, account: Uuid) -> Vec<String> {
        let messages = Messages::new(self.database.clone()).after(account, 0, 1000).await.unwrap();
        messages.into_iter().map(|message| message.kind).collect()
    }
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
    around: Around,
}

struct Api {
    app: Router,
    around: Around,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Api {
    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn read(&self, id: &str, token: &str, key: Option<&str>) -> Answer {
        let mut request = Request::post(format!("/v1/notifications/{id}/read"))
            .header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

fn event(kind: &'static str, account: Uuid, mut data: Value) -> Event {
    data["account_id"] = json!(account);
    let context = RequestContext::of(&HeaderMap::new());
    Event::new("test", kind, account.to_string(), SystemClock.now(), data, &context)
}

fn registered(account: Uuid, name: &str) -> Event {
    let data = json!({"email": format!("{}@example.com", name.to_lowercase().trim()),
        "display_name": name});
    event("user.registered", account, data)
}

fn confirmed(account: Uuid) -> Event {
    let total = json!({"minor_units": 8900, "currency": "EUR"});
    event("order.confirmed", account, json!({"order_id": Uuid::now_v7(), "total": total}))
}

fn captured(account: Uuid) -> Event {
    let amount = json!({"minor_units": 8900, "currency": "EUR"});
    let data = json!({"order_id": Uuid::now_v7(), "payment_id": Uuid::now_v7(), "amount": amount});
    event("payment.captured", account, data)
}
