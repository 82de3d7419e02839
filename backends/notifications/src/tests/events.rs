//! Events on their way through the platform's consumer: late, twice, out of order, unusable.

use shop_platform::broker::Policy;
use shop_platform::testing::next_event;

use super::socket::Client;
use super::*;

#[tokio::test]
async fn an_event_that_comes_before_its_account_waits_for_it() {
    let service = Shop::new().await.run().await;
    let ada = Uuid::now_v7();
    let mut client = Client::ready(&service, ada).await;
    service.around.publish(&confirmed(ada)).await;
    service.around.publish(&captured(ada)).await;
    service.around.publish(&registered(ada, "Ada")).await;
    let mut kinds = client.kinds(3).await;
    assert_eq!(kinds[0], "user.registered");
    kinds.sort();
    assert_eq!(kinds, ["order.confirmed", "payment.captured", "user.registered"]);
    assert_eq!(service.end().await, Drained { cut: 0 });
}

#[tokio::test]
async fn an_event_that_comes_twice_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}/notifications.db", directory.path().display());
    let flags = ["--database", database.as_str()];
    let ada = Uuid::now_v7();
    let (welcome, order) = (registered(ada, "Ada"), confirmed(ada));
    // Each has a broker of its own, which knows nothing of what the other has delivered: as after
    // an acknowledgement that was lost.
    for last in [captured(ada), captured(ada)] {
        let service = Shop::with(&flags, Heartbeat::default()).await.run().await;
        let mut client = Client::ready(&service, ada).await;
        for event in [&welcome, &order, &welcome, &order, &last] {
            service.around.publish(event).await;
        }
        while client.kinds(1).await != ["payment.captured"] {}
        let told = service.around.kinds(ada).await;
        assert_eq!(told.iter().filter(|kind| *kind == "user.registered").count(), 1);
        assert_eq!(told.iter().filter(|kind| *kind == "order.confirmed").count(), 1);
        assert_eq!(service.end().await, Drained { cut: 0 });
    }
}

#[tokio::test]
async fn what_nobody_can_use_goes_to_the_dead_letters_and_holds_up_nothing() {
    let service = Shop::new().await.run().await;
    let ada = Uuid::now_v7();
    let mut client = Client::ready(&service, ada).await;
    let dead = service.around.broker.subscribe("test", &["dead.*"], Policy::default());
    let mut dead = dead.await.unwrap();
    service.around.publish(&registered(ada, "Ada")).await;
    let unusable = event("order.confirmed", ada, json!({"total": "much"}));
    service.around.publish(&unusable).await;
    // What customers are not told of is no mistake.
    service.around.publish(&event("payment.authorized", ada, json!({}))).await;
    service.around.publish(&event("user.renamed", ada, json!({}))).await;
    service.around.publish(&captured(ada)).await;
    assert_eq!(client.kinds(2).await, ["user.registered", "payment.captured"]);
    let letter = next_event(&mut dead).await;
    assert_eq!(letter.event.kind, "dead.notifications");
    assert_eq!(letter.event.data["event"]["id"], unusable.id.to_string());
}

#[tokio::test]
async fn an_address_is_learned_anew() {
    let service = Shop::new().await.run().await;
    let ada = Uuid::now_v7();
    let mut client = Client::ready(&service, ada).await;
    service.around.publish(&registered(ada, "Ada\r\nBcc: eve@example.com")).await;
    let told = client.next().await;
    assert!(told["body"].as_str().unwrap().starts_with("Hello Ada  Bcc: eve@example.com,\n"));
    service.around.publish(&registered(ada, "Countess")).await;
    let told = client.next().await;
    assert!(told["body"].as_str().unwrap().starts_with("Hello Countess,\n"), "{told}");
}
