//! What a member of a group gets over a network that is slow or cut: every event, in order, and at
//! its first try.

use shop_platform::broker::Subscription;
use shop_platform::testing::{nats, next_event, within};
use shop_platform::{Broker, Event};

use super::event;
use super::promises::QUICK;
use super::relay::{Cut, Hold, Relay};

async fn join(broker: &Broker) -> Subscription {
    broker.subscribe("mail", &["order.*"], QUICK).await.unwrap()
}

/// Publishes the events `numbers`, past the relay.
async fn publish(broker: &Broker, numbers: std::ops::Range<u64>) -> Vec<Event> {
    let mut events = Vec::new();
    for number in numbers {
        events.push(event("order.placed", "o-1", number));
        broker.publish(&events[events.len() - 1]).await.unwrap();
    }
    events
}

/// The server has answered a question before it hears anything else from the client.
#[tokio::test]
async fn what_was_there_before_its_member_comes_at_its_first_try() {
    let Some(server) = nats() else { return };
    let direct = Broker::open(&server.url()).await.unwrap();
    let events = within("published events", publish(&direct, 0..20)).await;
    let relay = Relay::start(&server.url(), Hold::AfterQuestions).await;
    let broker = within("a connection", Broker::open(&relay.url())).await.unwrap();
    let mut mail = within("a member", join(&broker)).await;
    for (number, event) in events.iter().enumerate() {
        let delivery = next_event(&mut mail).await;
        let got = (&delivery.event.data["number"], delivery.attempt);
        assert_eq!(got, (&number.into(), 1), "{number}");
        assert_eq!(delivery.event.id, event.id);
        delivery.ack().await.unwrap();
    }
}

/// The member's question is older than the connection that its answer comes by.
async fn a_cut_while_a_member_waits(cut: Cut) {
    let Some(server) = nats() else { return };
    let direct = Broker::open(&server.url()).await.unwrap();
    let relay = Relay::start(&server.url(), Hold::BeforeItAsksAnew).await;
    let broker = within("a connection", Broker::open(&relay.url())).await.unwrap();
    let mut mail = within("a member", join(&broker)).await;
    let waiting = tokio::spawn(async move {
        let mut got = Vec::new();
        while got.len() < 3 {
            let delivery = mail.next().await.unwrap();
            got.push((delivery.event.id, delivery.attempt));
            delivery.ack().await.unwrap();
        }
        got
    });
    within("a question", relay.asked()).await;
    // With it, the server has all that was sent before.
    within("an answer", broker.check()).await.unwrap();
    relay.cut(cut);
    within("another connection", relay.holds_again()).await;
    let events = within("published events", publish(&direct, 0..3)).await;
    relay.go_on();
    let expected: Vec<_> = events.iter().map(|event| (event.id, 1)).collect();
    assert_eq!(within("three events", waiting).await.unwrap(), expected);
}

#[tokio::test]
async fn a_cut_while_a_member_waits_loses_nothing() {
    a_cut_while_a_member_waits(Cut::Seen).await;
}

#[tokio::test]
async fn a_cut_that_the_server_does_not_see_loses_nothing() {
    a_cut_while_a_member_waits(Cut::Unseen).await;
}
