//! Steps that no order comes to while all is well: stock that was held and forgotten runs out, a
//! payment is undone that has never begun, the read model is made anew. A service may die before
//! and after each of them too.
//!
//! Orders would have to be dead for as long as stock is held, and a call to be lost on its way. So
//! these calls are made from here, as orders make them.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shop_contracts::inventory::inventory_client::InventoryClient;
use shop_contracts::inventory::{Line, ReserveRequest};
use shop_contracts::payments::payments_client::PaymentsClient;
use shop_contracts::payments::{AuthorizeRequest, Money, PaymentStatus, UndoRequest};
use shop_platform::grpc::channel;
use shop_proofs::{
    Audit, Backoffice, Begun, Card, Customer, Deadline, Engines, PATIENCE, PLENTY, Service,
    Settings, World, everything,
};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use uuid::Uuid;

const PIECES: i64 = 10;
const HELD: i64 = 3;
/// From a call until its service has died of it. The answer may be lost in the death.
const CALL_LIMIT: Duration = Duration::from_secs(10);

async fn call<T>(run: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    let answered = tokio::time::timeout(CALL_LIMIT, run).await;
    answered.expect("a call is neither answered nor broken off").map(Response::into_inner)
}

fn channel_to(world: &World, service: Service) -> Channel {
    channel(&format!("http://{}", world.places().grpc(service))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_that_nobody_asks_for_comes_back_once() {
    let world = World::start(Engines::Embedded).await.unwrap();
    let mut backoffice = Backoffice::open(&world).await;
    backoffice.supply("pieces", PLENTY, PIECES).await;
    for failpoint in [
        "before:commit:stock.expire",
        "after:commit:stock.expire",
        "before:publish:stock.expired",
        "after:publish:stock.expired",
    ] {
        world.arm(Service::Products, failpoint).await;
        let id = Uuid::now_v7().to_string();
        let mut inventory = InventoryClient::new(channel_to(&world, Service::Products));
        let line = Line { product_id: PLENTY.to_owned(), quantity: u32::try_from(HELD).unwrap() };
        let request =
            ReserveRequest { reservation_id: id.clone(), lines: vec![line], hold_seconds: 1 };
        let held = call(inventory.reserve(request)).await;
        // A slow answer may be lost in the death, which only an expiry of what is held brings on.
        let refused = |status: &Status| !matches!(status.code(), Code::Unknown | Code::Unavailable);
        assert!(!held.as_ref().is_err_and(refused), "{failpoint}: {held:?}");
        world.dies_and_lives(Service::Products).await;
        expired_once(&world, &backoffice, &id, failpoint).await;
    }
    let all = world.events().await;
    assert_eq!(all.iter().filter(|event| event.kind == "stock.expired").count(), 4);
}

/// All pieces are there again, and the news is out.
async fn expired_once(world: &Arc<World>, backoffice: &Backoffice, id: &str, failpoint: &str) {
    let deadline = Deadline::new(format!("the end of a reservation, {failpoint}"), PATIENCE);
    loop {
        let books = backoffice.books(Service::Products).await;
        let stock = plenty(&books);
        let figure = |name: &str| stock[name].as_i64().unwrap();
        assert_eq!(figure("available") + figure("reserved"), PIECES, "{failpoint}: {stock}");
        let events = world.events().await;
        let told =
            events.iter().filter(|event| event.kind == "stock.expired" && event.subject == id);
        let told = told.count();
        assert!(told <= 1, "{failpoint}: told twice");
        if figure("reserved") == 0 && told == 1 {
            return;
        }
        deadline.check(&(stock, told));
        deadline.pause().await;
    }
}

fn plenty(books: &Value) -> &Value {
    let products = books["products"].as_array().unwrap();
    products.iter().find(|product| product["product_id"] == PLENTY).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_undone_before_it_began_never_begins() {
    let world = World::start(Engines::Embedded).await.unwrap();
    let mut customer = Customer::register(&world, "ada").await;
    let card = customer.add_card(Card::Good).await;
    for failpoint in ["before:commit:payment.bury", "after:commit:payment.bury"] {
        world.arm(Service::Payments, failpoint).await;
        let order = Uuid::now_v7().to_string();
        let undo = || UndoRequest { order_id: order.clone() };
        let mut payments = PaymentsClient::new(channel_to(&world, Service::Payments));
        let lost = call(payments.undo(undo())).await;
        assert!(lost.is_err(), "{failpoint}: {lost:?}");
        world.dies_and_lives(Service::Payments).await;
        let mut payments = PaymentsClient::new(channel_to(&world, Service::Payments));
        for _ in 0..2 {
            let undone = call(payments.undo(undo())).await.unwrap();
            assert_eq!(undone.status(), PaymentStatus::Voided, "{failpoint}");
        }
        let late = AuthorizeRequest {
            order_id: order.clone(),
            account_id: customer.account().to_owned(),
            amount: Some(Money { minor_units: 100, currency: "EUR".to_owned() }),
            payment_method: card.clone(),
        };
        let refused = call(payments.authorize(late)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{failpoint}: {refused:?}");
    }
    let told = world.events().await;
    assert!(!told.iter().any(|event| event.kind.starts_with("payment.")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_read_model_is_made_anew_or_left_as_it_was() {
    let settings = Settings { rebuild_read_model: true, ..Settings::default() };
    let world = World::start_with(Engines::Embedded, settings).await.unwrap();
    everything(&world, "before").await;
    for failpoint in ["before:commit:orders.rebuild", "after:commit:orders.rebuild"] {
        assert_eq!(world.restart(Service::Orders, Some(failpoint)).await, Begun::Killed);
        world.restart(Service::Orders, None).await;
        world.quiet(PATIENCE).await;
        Audit::must_pass(&world).await;
    }
}
