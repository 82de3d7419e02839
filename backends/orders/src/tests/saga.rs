//! Sagas from beginning to end: how they go when all goes well, and how when it does not.

use super::world::{Call, DECLINED, Method, PRICE, Trouble, UNKNOWN};
use super::*;

fn cancelled(reason: &str) -> (String, Option<String>) {
    ("cancelled".to_owned(), Some(reason.to_owned()))
}

fn confirmed() -> (String, Option<String>) {
    ("confirmed".to_owned(), None)
}

async fn kinds(shop: &Shop, id: Uuid) -> Vec<String> {
    let answer = shop.get(&format!("/v1/orders/{id}/events")).await;
    let items = answer.body["items"].as_array().expect(&answer.text).clone();
    items.iter().map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_order_is_bought_in_four_calls() {
    let shop = Shop::new(10).await;
    let id = shop.place(3, "pm_1").await;
    assert_eq!(shop.state(id).await.0, "pending");
    shop.settle(None).await;
    assert_eq!(shop.state(id).await, confirmed());
    let calls = shop.world.books().calls.clone();
    let amount = 3 * PRICE;
    let expected = [
        Call::Reserve(id, 3),
        Call::Authorize(id, amount, Method::Good),
        Call::Commit(id),
        Call::Capture(id),
    ];
    assert_eq!(calls, expected);
    let expected = [
        "placed",
        "stock_reserved",
        "payment_authorized",
        "stock_committed",
        "payment_captured",
        "confirmed",
    ];
    assert_eq!(kinds(&shop, id).await, expected);
    let events = shop.outbox().await;
    let placed = json!({"order_id": id, "account_id": shop.account,
        "lines": [{"product_id": "lamp", "quantity": 3,
            "unit_price": {"minor_units": PRICE, "currency": "EUR"}}],
        "total": {"minor_units": amount, "currency": "EUR"}});
    assert_eq!((&events[0]["type"], &events[0]["data"]), (&json!("order.placed"), &placed));
    let total = json!({"order_id": id, "account_id": shop.account,
        "total": {"minor_units": amount, "currency": "EUR"}});
    assert_eq!((&events[1]["type"], &events[1]["data"]), (&json!("order.confirmed"), &total));
    assert_eq!(events[0]["requestid"], events[1]["requestid"], "one request began it all");
    shop.audit(&[id], 10).await;
    assert_eq!(shop.metric("shop_orders_total{outcome=\"confirmed\"}").await, 1);
    let done = "shop_orders_saga_steps_total{outcome=\"done\",step=\"capture\"}";
    assert_eq!(shop.metric(done).await, 1);
    assert_eq!(shop.metric("shop_orders_saga_duration_seconds_count").await, 1);
}

#[tokio::test]
async fn a_refusal_cancels_with_its_reason_and_undoes_no_more_than_there_is() {
    let check = async |method: &str, script: &[Trouble], reason: &str, undone: &[&str]| {
        let shop = Shop::new(5).await;
        let quantity = if reason == "out_of_stock" { 6 } else { 5 };
        shop.world.script(script.iter().copied());
        let id = shop.place(quantity, method).await;
        shop.settle(None).await;
        assert_eq!(shop.state(id).await, cancelled(reason));
        let calls = shop.world.books().calls.clone();
        let undoing = calls.iter().filter_map(|call| match call {
            Call::Undo(_) => Some("undo"),
            Call::Release(_) => Some("release"),
            _ => None,
        });
        assert_eq!(undoing.collect::<Vec<_>>(), undone, "{method} {script:?}");
        shop.audit(&[id], 5).await;
        let events = shop.outbox().await;
        let data = json!({"order_id": id, "account_id": shop.account, "reason": reason,
            "refunded": false});
        assert_eq!(events[1]["data"], data);
        let counted = format!("shop_orders_total{{outcome=\"{reason}\"}}");
        assert_eq!(shop.metric(&counted).await, 1);
    };
    check("pm_1", &[], "out_of_stock", &[]).await;
    check(DECLINED, &[], "card_declined", &["release"]).await;
    check(UNKNOWN, &[], "payment_refused", &["release"]).await;
    let expired = [Trouble::Nothing, Trouble::Nothing, Trouble::Expired];
    check("pm_1", &expired, "reservation_expired", &["undo", "release"]).await;
    // What was in doubt once is undone, whatever was answered the second time.
    check("pm_1", &[Trouble::Unavailable], "out_of_stock", &["release"]).await;
    let doubt = [Trouble::Nothing, Trouble::AnswerLost];
    check(DECLINED, &doubt, "card_declined", &["undo", "release"]).await;
}

#[tokio::test]
async fn a_service_that_is_back_before_the_deadline_costs_only_time() {
    let shop = Shop::new(5).await;
    shop.world.script([Trouble::Unavailable; 12]);
    let id = shop.place(5, "pm_1").await;
    shop.settle(None).await;
    assert_eq!(shop.state(id).await, confirmed());
    shop.audit(&[id], 5).await;
}

#[tokio::test]
async fn a_service_that_stays_away_lets_the_order_time_out() {
    for before in 0..4 {
        let shop = Shop::new(5).await;
        let away = [Trouble::Unavailable; 70];
        shop.world.script([Trouble::Nothing; 4][..before].iter().chain(&away).copied());
        let id = shop.place(5, "pm_1").await;
        shop.settle(None).await;
        assert_eq!(shop.state(id).await, cancelled("timed_out"), "after {before} steps");
        shop.audit(&[id], 5).await;
        let unanswered = "shop_orders_saga_steps_total{outcome=\"in_doubt\"";
        assert!(shop.metric(unanswered).await > 3);
    }
}

#[tokio::test]
async fn a_customer_may_cancel_during_any_step() {
    // Held while the call is on its way, so the cancellation comes in between.
    for step in 0..4 {
        for then in [Trouble::Nothing, Trouble::AnswerLost] {
            let shop = Shop::new(5).await;
            let id = shop.place(5, "pm_1").await;
            let mut script = vec![Trouble::Nothing; step];
            script.extend([Trouble::Held, then]);
            shop.world.script(script);
            shop.settle(Some(id)).await;
            assert_eq!(shop.state(id).await, cancelled("customer"), "during step {step}");
            assert_eq!(shop.order(id).await["refunded"], step == 3);
            shop.audit(&[id], 5).await;
        }
    }
}

#[tokio::test]
async fn a_cancellation_ends_the_wait_for_a_service_that_is_away() {
    let shop = Shop::new(5).await;
    shop.world.script([Trouble::Unavailable; 3]);
    let id = shop.place(5, "pm_1").await;
    for _ in 0..3 {
        shop.clock.advance(Duration::from_millis(400));
        shop.driver.run_due().await;
    }
    assert_eq!(shop.state(id).await.0, "pending");
    assert_eq!(shop.cancel(id).await.body["state"], "cancelling");
    // Without a moment passing.
    assert!(shop.driver.run_due().await > 0);
    assert_eq!(shop.state(id).await, cancelled("customer"));
    shop.audit(&[id], 5).await;
}

#[tokio::test]
async fn an_order_that_was_cancelled_at_once_costs_no_call() {
    let shop = Shop::new(5).await;
    let id = shop.place(5, "pm_1").await;
    shop.cancel(id).await;
    shop.settle(None).await;
    assert_eq!(shop.state(id).await, cancelled("customer"));
    assert_eq!(shop.world.books().calls, []);
    shop.audit(&[id], 5).await;
}

#[tokio::test]
async fn a_confirmed_order_is_refunded() {
    let shop = Shop::new(5).await;
    let id = shop.place(5, "pm_1").await;
    shop.settle(None).await;
    assert_eq!(shop.state(id).await, confirmed());
    shop.world.script([Trouble::AnswerLost, Trouble::Unavailable, Trouble::AnswerLost]);
    assert_eq!(shop.cancel(id).await.body["state"], "cancelling");
    shop.settle(None).await;
    assert_eq!(shop.state(id).await, cancelled("customer"));
    assert_eq!(shop.order(id).await["refunded"], true);
    let kinds: Vec<String> = kinds(&shop, id).await.split_off(6);
    assert_eq!(kinds, ["cancelling", "payment_undone", "stock_released", "cancelled"]);
    shop.audit(&[id], 5).await;
    // Once more changes nothing.
    let again = shop.cancel(id).await;
    assert_eq!((again.status, &again.body["state"]), (202, &json!("cancelled")));
    assert_eq!(shop.unfinished().await, 0);
}

#[tokio::test]
async fn undoing_outlasts_any_outage() {
    let shop = Shop::new(5).await;
    let id = shop.place(5, "pm_1").await;
    shop.settle(None).await;
    shop.world.script([Trouble::Unavailable; 100]);
    shop.cancel(id).await;
    shop.settle(None).await;
    assert_eq!(shop.state(id).await, cancelled("customer"));
    shop.audit(&[id], 5).await;
}

#[tokio::test]
async fn a_driver_that_was_taken_for_dead_changes_nothing_any_more() {
    let shop = Shop::new(5).await;
    let id = shop.place(5, "pm_1").await;
    shop.world.script([Trouble::Held]);
    let slow = shop.driver.run_due();
    let other = async {
        shop.world.held.notified().await;
        assert_eq!(shop.another().driver.run_due().await, 0, "it is held");
        shop.clock.advance(LEASE);
        assert_eq!(shop.another().driver.run_due().await, 1);
        assert_eq!(shop.state(id).await, confirmed());
        shop.world.go_on.notify_one();
    };
    tokio::join!(slow, other);
    assert_eq!(shop.metric("shop_orders_saga_leases_lost_total").await, 1);
    shop.audit(&[id], 5).await;
}

#[tokio::test]
async fn what_the_payments_tell_wakes_a_saga_and_does_nothing_else() {
    use shop_platform::consumer::Handler;
    use shop_platform::{Event, RequestContext};

    let shop = Shop::new(5).await;
    let clock: Arc<dyn Clock> = shop.clock.clone();
    let handler = PaymentEvents { clock, due: Arc::clone(&shop.orders.due) };
    let tell = async |kind: &'static str, order_id: Value| {
        let context = RequestContext::of(&HeaderMap::new());
        let data = json!({"order_id": order_id, "payment_id": "p-1"});
        let event = Event::new("payments", kind, "p-1", shop.clock.now(), data, &context);
        let mut transaction = shop.orders.database.begin_write().await.unwrap();
        let handled = handler.handle(&mut transaction, &event).await;
        transaction.commit().await.unwrap();
        handler.committed(&event);
        handled
    };
    let id = shop.place(5, "pm_1").await;
    // It has its effect, but the answer is lost: due again in a while.
    shop.world.script([Trouble::Nothing, Trouble::AnswerLost]);
    shop.driver.run_due().await;
    assert_eq!(shop.driver.run_due().await, 0);
    tell("payment.authorized", json!(id)).await.unwrap();
    assert_eq!(shop.driver.run_due().await, 1);
    assert_eq!(shop.state(id).await, confirmed());
    // Twice, late, out of order, of orders that nobody knows.
    for kind in ["payment.captured", "payment.authorized", "payment.declined", "payment.voided"] {
        tell(kind, json!(id)).await.unwrap();
        tell(kind, json!(Uuid::now_v7())).await.unwrap();
    }
    assert_eq!(shop.driver.run_due().await, 0);
    assert_eq!(shop.state(id).await, confirmed());
    let unusable = tell("payment.captured", json!("not an id")).await.unwrap_err();
    assert!(matches!(unusable, shop_platform::consumer::HandlerError::Unusable(_)));
    shop.audit(&[id], 5).await;
}

#[tokio::test]
async fn many_orders_share_what_there_is() {
    let shop = Shop::new(10).await;
    let mut orders = Vec::new();
    for _ in 0..40 {
        orders.push(shop.place(1, "pm_1").await);
    }
    let (one, two) = (shop.another(), shop.another());
    tokio::join!(shop.driver.run_due(), one.driver.run_due(), two.driver.run_due());
    shop.settle(None).await;
    let mut sold = 0;
    for id in &orders {
        match shop.state(*id).await {
            state if state == confirmed() => sold += 1,
            state => assert_eq!(state, cancelled("out_of_stock")),
        }
    }
    assert_eq!(sold, 10);
    assert_eq!(shop.world.books().calls.len(), 40 + 3 * 10, "nobody did another's work");
    shop.audit(&orders, 10).await;
}
