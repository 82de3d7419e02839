//! Two processes at one database, of either engine: they share the work, tell everything once and
//! in one order.

use std::collections::BTreeSet;

use shop_platform::testing;

use super::letters::{PostOffice, message_id};
use super::socket::Client;
use super::*;

const ORDERS: usize = 20;

async fn two_share_the_work(database: &str) {
    let mut office = PostOffice::open(&[]).await;
    let broker = Broker::open("log::memory:").await.unwrap();
    let flags = ["--database", database, "--mail", &office.way];
    let mut services = Vec::new();
    for _ in 0..2 {
        let shop = Shop::at(&flags, Heartbeat::default(), broker.clone()).await;
        services.push(shop.run().await);
    }
    let accounts = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    let mut clients = Vec::new();
    for account in accounts {
        for service in &services {
            clients.push(Client::ready(service, account).await);
        }
    }
    for at in 0..ORDERS {
        for account in accounts {
            broker.publish(&confirmed(account)).await.unwrap();
            if at == 2 {
                broker.publish(&registered(account, "Ada")).await.unwrap();
            }
        }
    }
    for pair in clients.chunks_mut(2) {
        let mut told = Vec::new();
        for client in pair {
            let mut ids = Vec::new();
            let mut kinds = Vec::new();
            for _ in 0..=ORDERS {
                let next = client.next().await;
                ids.push(next["id"].as_str().unwrap().to_owned());
                kinds.push(next["kind"].as_str().unwrap().to_owned());
            }
            assert_eq!(kinds[0], "user.registered");
            assert_eq!(kinds.iter().filter(|kind| *kind == "order.confirmed").count(), ORDERS);
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each once");
            told.push(ids);
        }
        assert_eq!(told[0], told[1], "both in one order");
    }
    let mut letters = BTreeSet::new();
    for _ in 0..accounts.len() * (ORDERS + 1) {
        letters.insert(message_id(&office.next().await).to_owned());
    }
    assert_eq!(letters.len(), accounts.len() * (ORDERS + 1), "each letter once");
    for service in services {
        assert_eq!(service.end().await, Drained { cut: 0 });
    }
    assert!(office.given.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_share_the_work_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    two_share_the_work(&format!("sqlite:{}/notifications.db", directory.path().display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_share_the_work_on_postgresql() {
    let Some(server) = tokio::task::spawn_blocking(testing::postgres).await.unwrap() else {
        return;
    };
    two_share_the_work(&server.url("notifications_two")).await;
}

/// What customers ask for, on the other engine than all other tests.
#[tokio::test]
async fn the_api_works_on_postgresql() {
    let Some(server) = tokio::task::spawn_blocking(testing::postgres).await.unwrap() else {
        return;
    };
    let url = server.url("notifications_api");
    let api = Shop::with(&["--database", &url], Heartbeat::default()).await.api();
    let ada = Uuid::now_v7();
    api.around.register(ada, "Ada").await;
    for _ in 0..3 {
        api.around.tell(&confirmed(ada)).await;
    }
    let token = api.around.token(ada);
    let page = api.get("/v1/notifications?limit=2", &token).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let next = page.body["next"].as_str().unwrap();
    let rest = api.get(&format!("/v1/notifications?before={next}"), &token).await;
    assert_eq!(rest.body["items"].as_array().unwrap().len(), 2);
    for key in ["key-1", "key-1", "key-2"] {
        let read = api.read(next, &token, Some(key)).await;
        assert_eq!((read.status, read.body["read_at"].is_string()), (200, true), "{}", read.body);
    }
    let counts = api.get("/v1/notifications/counts", &token).await;
    assert_eq!(counts.body, json!({"total": 4, "unread": 3}));
    let unread = api.get("/v1/notifications?unread=true", &token).await;
    assert_eq!(unread.body["items"].as_array().unwrap().len(), 3);
}
