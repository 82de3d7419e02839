//! What runs beside the requests, and how it ends.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::*;
use crate::broker::Broker;
use crate::clock::UnixTime;
use crate::consumer::{self, Handler, HandlerError};
use crate::database::Transaction;
use crate::event::Event;
use crate::outbox;
use crate::server::Drained;
use crate::testing::{next_event, until, within};

const NOTES: (&str, &str) = ("notes", "CREATE TABLE notes (event_id TEXT NOT NULL)");
const MIGRATIONS: &[(&str, &str)] = &[outbox::MIGRATION, consumer::MIGRATION, NOTES];

/// Answers each order by an event of its own, through the outbox.
struct Confirm {
    entered: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Handler for Confirm {
    fn handle<'a>(
        &'a self,
        transaction: &'a mut Transaction,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            if event.data == Value::Null {
                let (release, released) = oneshot::channel();
                self.entered.send(release).unwrap();
                drop(released.await);
            }
            let answer = new_event("order.confirmed", json!({"of": event.id}), &event.context);
            Ok(outbox::add(transaction, &answer).await?)
        })
    }
}

fn new_event(kind: &'static str, data: Value, context: &RequestContext) -> Event {
    Event::new("tests", kind, "o-1", UnixTime::from_seconds(1), data, context)
}

struct Shop {
    broker: Broker,
    entered: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Drained>,
}

async fn shop(tasks: Vec<Task>) -> Shop {
    let database = Database::open(":memory:", MIGRATIONS).await.unwrap();
    let broker = Broker::open("log::memory:").await.unwrap();
    let (sender, entered) = mpsc::unbounded_channel();
    let mut service = Service::new("test", routes(), database, Registry::new());
    service.broker = Some(broker.clone());
    let handler = Arc::new(Confirm { entered: sender });
    service.consumers = vec![Consumer { group: "shop", kinds: &["order.placed"], handler }];
    service.tasks = tasks;
    let (stop, stopped) = oneshot::channel();
    let shutdown = Box::pin(async { drop(stopped.await) });
    let listen = "127.0.0.1:0".parse().unwrap();
    let bound = service.bind(listen, &ServerOptions::default(), shutdown).await.unwrap();
    let (address, ended) = (bound.address, tokio::spawn(bound.run));
    Shop { broker, entered, address, stop, ended }
}

#[tokio::test]
async fn an_event_is_consumed_and_answered_under_the_same_request() {
    let shop = shop(Vec::new()).await;
    let mut answers =
        shop.broker.subscribe("tests", &["order.confirmed"], Policy::default()).await.unwrap();
    let context = RequestContext::from_parts(Some("abc-1"), None);
    let placed = new_event("order.placed", json!(1), &context);
    shop.broker.publish(&placed).await.unwrap();
    let answer = next_event(&mut answers).await;
    assert_eq!(answer.event.data["of"], placed.id.to_string());
    assert_eq!(answer.event.context.request_id(), "abc-1");
    assert_eq!(answer.event.context.traceparent(), context.traceparent());
}

#[tokio::test]
async fn an_event_in_hand_is_finished_and_its_answer_sent_before_the_end() {
    let mut shop = shop(Vec::new()).await;
    let placed = new_event("order.placed", Value::Null, &RequestContext::begin());
    shop.broker.publish(&placed).await.unwrap();
    let release = within("an event in hand", shop.entered.recv()).await.unwrap();
    shop.stop.send(()).unwrap();
    let closed = async || TcpStream::connect(shop.address).await.is_err();
    until("the listener is closed", closed).await;
    release.send(()).unwrap();
    assert_eq!(within("the end", shop.ended).await.unwrap(), Drained { cut: 0 });
    let mut answers =
        shop.broker.subscribe("tests", &["order.confirmed"], Policy::default()).await.unwrap();
    let answer = next_event(&mut answers).await;
    assert_eq!(answer.event.data["of"], placed.id.to_string());
}

/// Says when it is dropped.
struct Bell(Arc<Mutex<bool>>);

impl Drop for Bell {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = true;
    }
}

#[tokio::test]
async fn tasks_run_until_the_shutdown() {
    let (dropped, (began, begun)) = (Arc::new(Mutex::new(false)), oneshot::channel());
    let bell = Bell(Arc::clone(&dropped));
    let run = Box::pin(async move {
        let _bell = bell;
        began.send(()).unwrap();
        std::future::pending().await
    });
    let shop = shop(vec![Task { name: "waiting", run }]).await;
    begun.await.unwrap();
    assert!(!*dropped.lock().unwrap());
    shop.stop.send(()).unwrap();
    within("the end", shop.ended).await.unwrap();
    assert!(*dropped.lock().unwrap());
}

#[tokio::test]
async fn a_service_whose_task_broke_down_is_not_ready() {
    let run = Box::pin(async { panic!("as the test wants") });
    let shop = shop(vec![Task { name: "broken", run }]).await;
    until("the service is not ready", async || {
        let mut stream = TcpStream::connect(shop.address).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (ready, not_ready) = ("HTTP/1.1 200 ", "HTTP/1.1 503 ");
        assert!(answer.starts_with(ready) || answer.starts_with(not_ready), "{answer}");
        answer.starts_with(not_ready)
    })
    .await;
}

#[tokio::test]
async fn what_a_service_lacks_is_found_when_it_starts() {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let options = ServerOptions::default();
    let consumer = || {
        let handler = Arc::new(Confirm { entered: mpsc::unbounded_channel().0 });
        Consumer { group: "shop", kinds: &["order.placed"], handler }
    };
    let start = async |migrations, broker: bool| {
        let database = Database::open(":memory:", migrations).await.unwrap();
        let mut service = Service::new("test", Router::new(), database, Registry::new());
        if broker {
            service.broker = Some(Broker::open("log::memory:").await.unwrap());
        }
        service.consumers = vec![consumer()];
        service.bind(listen, &options, Box::pin(std::future::pending())).await.err()
    };
    assert!(matches!(start(&[NOTES], true).await, Some(StartError::Migration("inbox"))));
    assert!(matches!(start(MIGRATIONS, false).await, Some(StartError::Prepare { .. })));
    assert!(start(MIGRATIONS, true).await.is_none());
}

#[tokio::test]
async fn readiness_follows_the_broker_too() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::open(&format!("log:{}/a.db", directory.path().display())).await.unwrap();
    let database = Database::open(":memory:", &[]).await.unwrap();
    let readiness = Readiness::new(database.clone(), Some(broker));
    assert!(readiness.is_ready().await);
    readiness.broken();
    assert!(!readiness.is_ready().await);
}

#[tokio::test]
async fn the_api_is_described() {
    let mut service = service(routes()).await;
    service.openapi = Some(utoipa::openapi::OpenApiBuilder::new().build());
    let app = service.router(&ServerOptions::default()).unwrap();
    let (status, headers, body) = call(&app, request("GET", "/openapi.json")).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert!(serde_json::from_str::<Value>(&body).unwrap()["openapi"].is_string(), "{body}");
}
