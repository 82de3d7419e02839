//! The driver as it runs in the service, and customers who wait for it, in real time.

use shop_platform::testing::within;

use super::*;

/// Drives the sagas of `shop` while `work` goes on.
async fn drive<T>(shop: &Shop, work: impl Future<Output = T>) -> T {
    tokio::select! {
        never = Arc::clone(&shop.driver).run() => match never {},
        done = work => done,
    }
}

/// The order at its end, which a busy machine may take several waits for.
async fn ended(shop: &Shop, id: Uuid, prefer: &str) -> Answer {
    within("the end of an order", async {
        loop {
            let answer = wait(shop, id, prefer).await;
            if answer.body["state"] != "pending" && answer.body["state"] != "cancelling" {
                return answer;
            }
        }
    })
    .await
}

async fn wait(shop: &Shop, id: Uuid, prefer: &str) -> Answer {
    let request = shop.request("GET", &format!("/v1/orders/{id}")).header("prefer", prefer);
    shop.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_order_is_driven_as_soon_as_it_is_placed() {
    let shop = Shop::new(1000).await;
    drive(&shop, async {
        for _ in 0..3 {
            let id = shop.place(1, "pm_1").await;
            let answer = ended(&shop, id, "wait=5").await;
            assert_eq!(answer.body["state"], "confirmed", "{}", answer.text);
            assert_eq!(answer.headers["preference-applied"], "wait=5");
            shop.cancel(id).await;
            let answer = ended(&shop, id, "respond-async, wait=5").await;
            assert_eq!(answer.body["state"], "cancelled", "{}", answer.text);
        }
    })
    .await;
}

#[tokio::test]
async fn more_orders_than_are_driven_at_once_come_to_their_end() {
    let shop = Shop::new(1000).await;
    let mut orders = Vec::new();
    for _ in 0..100 {
        orders.push(shop.place(1, "pm_1").await);
    }
    drive(&shop, async {
        for id in &orders {
            assert_eq!(ended(&shop, *id, "wait=9").await.body["state"], "confirmed");
        }
    })
    .await;
    shop.audit(&orders, 1000).await;
    assert_eq!(shop.world.books().calls.len(), 400);
}

#[tokio::test]
async fn a_wait_ends_without_an_end_of_the_order() {
    let shop = Shop::new(5).await;
    let id = shop.place(1, "pm_1").await;
    let started = std::time::Instant::now();
    let answer = wait(&shop, id, "wait=1").await;
    assert_eq!(answer.body["state"], "pending");
    assert!(started.elapsed() >= Duration::from_secs(1));
    // Nobody else's order is waited for, and no more than seconds are.
    for (prefer, applied) in [("wait=0", Some("wait=0")), ("wait=soon", None)] {
        let answer = wait(&shop, id, prefer).await;
        assert_eq!(answer.body["state"], "pending");
        let found = answer.headers.get("preference-applied").map(|value| value.to_str().unwrap());
        assert_eq!(found, applied, "{prefer}");
    }
    assert_eq!(wait(&shop, Uuid::now_v7(), "wait=60").await.status, 404);
    assert_eq!(shop.orders.longest_wait, Duration::from_millis(9500));
}

#[tokio::test]
async fn an_order_that_another_process_ends_is_seen() {
    let shop = Shop::new(5).await;
    let id = shop.place(1, "pm_1").await;
    let other = shop.another();
    let (answer, _) = tokio::join!(ended(&shop, id, "wait=9"), other.driver.run_due());
    assert_eq!(answer.body["state"], "confirmed");
}
