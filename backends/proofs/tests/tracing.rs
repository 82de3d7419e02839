//! One request is found again in the logs of all services that had a part in it: across HTTP, gRPC
//! and events.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use serde_json::{Value, json};
use shop_proofs::{
    Audit, Backoffice, Card, Customer, Engines, PATIENCE, PLENTY, Request, Service, Settings, World,
};

const REQUEST: &str = "the-one-that-we-look-for";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_found_in_the_logs_of_all_who_had_a_part_in_it() {
    let settings = Settings { log_level: "info", ..Settings::default() };
    let world = World::start_with(Engines::Embedded, settings).await.unwrap();
    Backoffice::open(&world).await.supply("supply", PLENTY, 1).await;
    let mut customer = Customer::register(&world, "ada").await;
    let card = customer.add_card(Card::Good).await;

    let body = json!({"lines": [{"product_id": PLENTY, "quantity": 1}], "payment_method": card});
    let request = Request::post("/v1/orders")
        .token(customer.token())
        .key("ordered")
        .header("x-request-id", REQUEST)
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .json(&body);
    let mut orders = world.client(Service::Orders);
    let order = customer.place_by(&mut orders, "ordered", &request).await;
    assert_eq!(customer.end(&order).await.state, "confirmed");
    world.quiet(PATIENCE).await;
    Audit::must_pass(&world).await;

    // By what each service has of it: requests, calls, events.
    let check = |service, name: &str| {
        let spans = spans(&world.log(service));
        let of = spans.iter().filter(|span| span["request_id"] == REQUEST);
        let of: Vec<&Value> = of.collect();
        assert!(of.iter().any(|span| span["name"] == name), "{service} has no {name}: {of:?}");
        for span in of {
            let traceparent = span["traceparent"].as_str().unwrap_or_default();
            assert_eq!(traceparent.split('-').nth(1), Some(TRACE), "{service}: {span}");
        }
    };
    check(Service::Orders, "request");
    check(Service::Orders, "saga");
    check(Service::Products, "call");
    check(Service::Payments, "call");
    check(Service::Orders, "event");
    check(Service::Products, "event");
    check(Service::Notifications, "event");
    // And nobody else had one.
    let users = spans(&world.log(Service::Users));
    assert!(users.iter().all(|span| span["request_id"] != REQUEST), "{users:?}");

    let events = world.events().await;
    let of: Vec<_> = events.iter().filter(|event| event.text.contains(REQUEST)).collect();
    let has = |kind: &str| of.iter().any(|event| event.kind == kind && event.text.contains(TRACE));
    for kind in ["order.placed", "stock.committed", "payment.captured", "order.confirmed"] {
        assert!(has(kind), "{kind} does not tell what caused it: {of:?}");
    }
}

/// What the lines of a log belong to. Every line is JSON, or the log cannot be read by a program.
fn spans(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| {
        let line: Result<Value, _> = serde_json::from_str(line);
        line.unwrap_or_else(|error| panic!("a line of the log is no JSON: {error}"))
    });
    lines.map(|line| line["span"].clone()).filter(Value::is_object).collect()
}
