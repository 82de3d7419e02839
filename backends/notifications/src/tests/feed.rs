//! The live feed over real sockets.

use shop_platform::testing::{until, within};

use crate::feed::seats::ACCOUNT_LIMIT;
use crate::feed::session::{REPLAY_LIMIT, WAITING_LIMIT};
use crate::messages::{NewMessage, add, next_place};
use crate::text::Text;

use super::socket::Client;
use super::*;

async fn running() -> (Running, Uuid) {
    running_with(&[], Heartbeat::default()).await
}

async fn running_with(flags: &[&str], heartbeat: Heartbeat) -> (Running, Uuid) {
    let service = Shop::with(flags, heartbeat).await.run().await;
    let ada = Uuid::now_v7();
    service.around.register(ada, "Ada").await;
    (service, ada)
}

impl Around {
    /// Adds messages of one account in one transaction.
    async fn add(&self, account: Uuid, count: usize, body: &str) {
        let mut transaction = self.database.begin_write().await.unwrap();
        for _ in 0..count {
            let (sequence, _) = next_place(&mut transaction, account).await.unwrap().unwrap();
            let text = Text { subject: "News".to_owned(), body: body.to_owned() };
            let (event, now) = (Uuid::now_v7(), self.clock.now());
            let kind = "order.confirmed";
            let new = NewMessage { account, sequence, event, kind, text: &text, now };
            add(&mut transaction, &new).await.unwrap();
        }
        self.database.commit(transaction, "test").await.unwrap();
    }
}

#[tokio::test]
async fn a_token_lets_in_by_header_or_by_subprotocol() {
    let (service, ada) = running().await;
    let token = service.around.token(ada);
    let bearer = format!("Bearer {token}");
    let offered = format!("shop.v1, bearer.{token}");
    let connect = async |query: &str, headers: &[(&'static str, &str)]| {
        Client::connect(service.address, query, headers).await
    };
    let by_header = connect("", &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(by_header.protocol, None);
    let by_protocol = connect("", &[("sec-websocket-protocol", &offered)]).await.unwrap();
    assert_eq!(by_protocol.protocol.as_deref(), Some("shop.v1"), "never the token");
    let both = [("authorization", bearer.as_str()), ("sec-websocket-protocol", "shop.v1")];
    let protocol_and_header = connect("", &both).await.unwrap();
    assert_eq!(protocol_and_header.protocol.as_deref(), Some("shop.v1"));

    let now = service.around.clock.now();
    let long = Duration::from_secs(900);
    let machine = service.around.signer.token(ada, "catalogue", now, long);
    let machine = format!("Bearer {machine}");
    let forged = format!("shop.v1, bearer.{}", Signer::new().token(ada, "customer", now, long));
    let alone = format!("bearer.{token}");
    let refused: [(&[(&'static str, &str)], u16); 7] = [
        (&[], 401),
        (&[("authorization", "Bearer x")], 401),
        (&[("authorization", &machine)], 403),
        (&[("sec-websocket-protocol", "shop.v1, bearer.x")], 401),
        (&[("sec-websocket-protocol", &forged)], 401),
        (&[("sec-websocket-protocol", &alone)], 400),
        (&[("authorization", &bearer), ("sec-websocket-protocol", &offered)], 400),
    ];
    for (headers, status) in refused {
        let answer = connect("", headers).await.err().unwrap();
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert_ne!(answer.code, "", "{headers:?}");
    }
    assert_eq!(service.end().await, Drained { cut: 0 });
}

#[tokio::test]
async fn what_happens_is_told_to_whom_it_concerns() {
    let (service, ada) = running().await;
    let bob = Uuid::now_v7();
    let mut at_once = Client::ready(&service, ada).await;
    let mut other = Client::ready(&service, ada).await;
    let mut his = Client::ready(&service, bob).await;
    service.around.publish(&registered(bob, "Bob")).await;
    service.around.publish(&captured(ada)).await;
    for client in [&mut at_once, &mut other] {
        let told = client.next().await;
        assert_eq!(
            (&told["type"], &told["kind"]),
            (&json!("notification"), &json!("payment.captured"))
        );
        assert!(told["body"].as_str().unwrap().contains("89.00 EUR"), "{told}");
        assert!(told["id"].is_string() && told["created_at"].is_string(), "{told}");
    }
    assert_eq!(his.kinds(1).await, ["user.registered"]);
    assert_eq!(service.end().await, Drained { cut: 0 });
}

#[tokio::test]
async fn what_other_processes_add_is_found() {
    let (service, ada) = running().await;
    let mut client = Client::ready(&service, ada).await;
    service.around.tell(&confirmed(ada)).await;
    service.around.tell(&captured(ada)).await;
    assert_eq!(client.kinds(2).await, ["order.confirmed", "payment.captured"]);
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_in_order() {
    let (service, ada) = running().await;
    service.around.tell(&confirmed(ada)).await;
    let known = Messages::new(service.around.database.clone()).after(ada, 0, 10).await.unwrap();
    assert_eq!(known.len(), 2);
    service.around.tell(&captured(ada)).await;
    let first = format!("?after={}", known[0].id);
    let mut client = Client::ready_at(&service, ada, &first).await;
    assert_eq!(client.kinds(2).await, ["order.confirmed", "payment.captured"]);
    // And then goes on live.
    service.around.publish(&confirmed(ada)).await;
    assert_eq!(client.kinds(1).await, ["order.confirmed"]);

    let token = format!("Bearer {}", service.around.token(ada));
    for (query, code) in [
        (format!("?after={}", Uuid::now_v7()), "invalid-parameters"),
        ("?after=7".to_owned(), "invalid-query"),
        (format!("{first}&since=1"), "invalid-query"),
    ] {
        let headers = [("authorization", token.as_str())];
        let answer = Client::connect(service.address, &query, &headers).await.err().unwrap();
        assert_eq!((answer.status, answer.code.as_str()), (400, code), "{query}");
    }
    let bob = Uuid::now_v7();
    let his = format!("Bearer {}", service.around.token(bob));
    let headers = [("authorization", his.as_str())];
    let answer = Client::connect(service.address, &first, &headers).await.err().unwrap();
    assert_eq!(answer.status, 400, "another's message is no place to begin at");
}

#[tokio::test]
async fn a_replay_is_bounded_and_says_so() {
    let (service, ada) = running().await;
    let known = Messages::new(service.around.database.clone()).after(ada, 0, 1).await.unwrap();
    let limit = usize::try_from(REPLAY_LIMIT).unwrap();
    service.around.add(ada, limit + 7, "News").await;
    let query = format!("?after={}", known[0].id);
    let mut client = Client::ready_at(&service, ada, &query).await;
    assert_eq!(client.next().await, json!({"type": "gap", "missed": 7}));
    assert_eq!(client.kinds(limit).await.len(), limit);
    service.around.publish(&captured(ada)).await;
    assert_eq!(client.kinds(1).await, ["payment.captured"]);
}

#[tokio::test]
async fn seats_are_limited_and_given_back() {
    let (service, ada) = running_with(&["--max-feeds", "11"], Heartbeat::default()).await;
    let token = format!("Bearer {}", service.around.token(ada));
    let headers = [("authorization", token.as_str())];
    let mut clients = Vec::new();
    for _ in 0..ACCOUNT_LIMIT {
        clients.push(Client::ready(&service, ada).await);
    }
    let answer = Client::connect(service.address, "", &headers).await.err().unwrap();
    assert_eq!((answer.status, answer.code.as_str()), (429, "too-many-feeds"));
    let bob = Client::ready(&service, Uuid::now_v7()).await;
    let eve = format!("Bearer {}", service.around.token(Uuid::now_v7()));
    let headers = [("authorization", eve.as_str())];
    let answer = Client::connect(service.address, "", &headers).await.err().unwrap();
    assert_eq!((answer.status, answer.code.as_str()), (503, "busy"));
    assert_eq!(service.metric("shop_notifications_feeds").await, 11);
    for client in clients {
        client.leave().await;
    }
    bob.leave().await;
    within("all feeds end", service.around.seats.at_most(0)).await;
    Client::ready(&service, ada).await.leave().await;
    assert_eq!(service.end().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_closed_and_others_go_on() {
    let (service, ada) = running().await;
    let bob = Uuid::now_v7();
    service.around.register(bob, "Bob").await;
    let stuck = Client::ready(&service, ada).await;
    let mut reading = Client::ready(&service, bob).await;
    // More than a connection takes on the way, and then as many as may wait.
    let body = "a long story ".repeat(5000);
    let waiting = usize::try_from(WAITING_LIMIT).unwrap();
    for _ in 0..6 {
        service.around.add(ada, waiting, &body).await;
        service.around.seats.announce(ada);
    }
    service.around.publish(&captured(bob)).await;
    assert_eq!(reading.kinds(1).await, ["payment.captured"]);
    let gone = service.around.seats.at_most(1);
    within("one feed ends", gone).await;
    drop(stuck);
    let slow = "shop_notifications_feed_ends_total{reason=\"slow\"}";
    until("its end is counted", async || service.metric(slow).await == 1).await;
}

#[tokio::test]
async fn at_the_end_of_the_service_feeds_close_and_the_drain_is_kept() {
    let (service, ada) = running().await;
    let mut clients = [Client::ready(&service, ada).await, Client::ready(&service, ada).await];
    let Running { stop, ended, .. } = service;
    stop.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(client.closed().await, 1001);
    }
    assert_eq!(within("the end of the service", ended).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_client_that_does_not_hear_the_end_is_cut_with_the_drain() {
    let (service, ada) = running_with(&["--drain-timeout", "50ms"], Heartbeat::default()).await;
    let _deaf = Client::ready(&service, ada).await;
    assert_eq!(service.end().await, Drained { cut: 1 });
}

#[tokio::test]
async fn a_feed_ends_with_its_token() {
    let (service, ada) = running().await;
    let mut client = Client::ready(&service, ada).await;
    service.around.clock.advance(Duration::from_secs(899));
    service.around.publish(&captured(ada)).await;
    assert_eq!(client.kinds(1).await, ["payment.captured"]);
    service.around.clock.advance(Duration::from_secs(1));
    assert_eq!(client.closed().await, 4401);
}

#[tokio::test]
async fn who_answers_a_ping_stays_and_who_does_not_goes() {
    // A busy machine has twice as long for an answer.
    let heartbeat = Heartbeat { every: Duration::from_secs(1) };
    let (service, ada) = running_with(&[], heartbeat).await;
    let mut silent = Client::ready(&service, ada).await;
    let mut alive = Client::ready(&service, ada).await;
    // Reading is what answers pings; the other is read only once the service has given it up.
    let reading = tokio::spawn(async move {
        let told = alive.kinds(1).await;
        (alive, told)
    });
    let gone = service.around.seats.at_most(1);
    within("one feed ends", gone).await;
    assert_eq!(silent.closed().await, 4408);
    service.around.publish(&captured(ada)).await;
    let (_alive, told) = within("what the other is told", reading).await.unwrap();
    assert_eq!(told, ["payment.captured"]);
}

#[tokio::test]
async fn a_client_has_nothing_to_say() {
    let (service, ada) = running().await;
    let mut client = Client::ready(&service, ada).await;
    client.say("{\"type\":\"subscribe\"}").await;
    assert_eq!(client.closed().await, 1003);
}
