//! What every broker promises, asked of the embedded log and of a real NATS server alike.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::time::Duration;

use shop_platform::testing::{Nats, nats, next_event, until, within};
use shop_platform::{Broker, Event, RequestContext, UnixTime};

#[path = "broker/network.rs"]
mod network;
#[path = "broker/promises.rs"]
mod promises;
#[path = "broker/relay.rs"]
mod relay;

fn event(kind: &'static str, subject: &str, number: u64) -> Event {
    let (time, context) = (UnixTime::from_seconds(1), RequestContext::begin());
    Event::new("tests", kind, subject, time, serde_json::json!({"number": number}), &context)
}

/// Runs one promise on each engine: on memory, on a file, on NATS.
macro_rules! on_each_engine {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $promise() {
                let broker = super::Broker::open("log::memory:").await.unwrap();
                super::within(stringify!($promise), super::promises::$promise(&broker)).await;
            })+
        }
        mod file {
            $(#[tokio::test]
            async fn $promise() {
                let directory = tempfile::tempdir().unwrap();
                let url = format!("log:{}/deep/events.db", directory.path().display());
                let broker = super::Broker::open(&url).await.unwrap();
                super::within(stringify!($promise), super::promises::$promise(&broker)).await;
                broker.close().await;
            })+
        }
        mod jetstream {
            $(#[tokio::test]
            async fn $promise() {
                let Some(server) = super::nats() else { return };
                let broker = super::Broker::open(&server.url()).await.unwrap();
                super::within(stringify!($promise), super::promises::$promise(&broker)).await;
                broker.close().await;
            })+
        }
    };
}

on_each_engine!(
    an_event_published_twice_comes_once,
    what_is_given_back_or_fails_comes_again_and_counts,
    what_a_dead_member_held_comes_again_after_the_lease,
    an_extended_lease_lasts,
    members_of_a_group_share_and_none_gets_what_another_has,
    each_group_gets_everything,
    a_group_gets_the_kinds_that_it_asked_for,
    what_fails_too_often_goes_to_the_dead_letters,
    what_kills_its_receivers_goes_to_the_dead_letters,
    events_of_one_subject_come_in_order,
    a_new_group_begins_with_the_oldest_event,
    an_acknowledgement_after_the_lease_counts,
    a_wait_that_is_given_up_loses_nothing,
    no_more_than_allowed_is_in_flight,
    sixteen_slow_events_come_once_and_in_order,
    what_waits_for_its_turn_keeps_its_lease,
    what_waits_too_long_for_its_turn_is_for_others,
);

#[tokio::test]
async fn a_log_that_is_opened_again_knows_everything() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("log:{}/events.db", directory.path().display());
    let first = Broker::open(&url).await.unwrap();
    within("five events, two taken", promises::before_a_restart(&first)).await;
    first.close().await;
    let again = Broker::open(&url).await.unwrap();
    let numbers = within("the other three", promises::after_a_restart(&again)).await;
    assert_eq!(numbers.len(), 3, "what was acknowledged does not come: {numbers:?}");
}

#[tokio::test]
async fn a_log_is_shared_by_several_who_opened_it() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("log:{}/events.db", directory.path().display());
    let (one, two) = (Broker::open(&url).await.unwrap(), Broker::open(&url).await.unwrap());
    within("forty events", promises::two_processes(&one, &two)).await;
}

#[tokio::test]
async fn a_nats_server_that_was_killed_knows_everything() {
    let Some(mut server) = nats() else { return };
    let first = Broker::open(&server.url()).await.unwrap();
    within("five events, two taken", promises::before_a_restart(&first)).await;
    restart(&mut server);
    // The server writes acknowledgements a little later: some may be lost with it, which is why
    // receivers have an inbox.
    let again = Broker::open(&server.url()).await.unwrap();
    within("the other three", promises::after_a_restart(&again)).await;
}

#[tokio::test]
async fn two_clients_of_a_nats_server_share_it() {
    let Some(server) = nats() else { return };
    let url = server.url();
    let (one, two) = (Broker::open(&url).await.unwrap(), Broker::open(&url).await.unwrap());
    within("forty events", promises::two_processes(&one, &two)).await;
}

#[tokio::test]
async fn a_client_of_nats_goes_on_after_the_server_was_killed() {
    let Some(mut server) = nats() else { return };
    let broker = Broker::open(&server.url()).await.unwrap();
    let mut mail = broker.subscribe("mail", &["order.*"], promises::QUICK).await.unwrap();
    let first = event("order.placed", "o-1", 1);
    broker.publish(&first).await.unwrap();
    next_event(&mut mail).await.ack().await.unwrap();
    let known = first.id;
    // The member waits with a question that the new server has never heard.
    let waiting = tokio::spawn(async move {
        loop {
            match mail.next().await {
                // Its acknowledgement may have died with the server.
                Ok(delivery) if delivery.event.id == known => delivery.ack().await.unwrap(),
                Ok(delivery) => return delivery,
                Err(_) => {}
            }
        }
    });
    server.kill();
    until("the server is missed", async || broker.check().await.is_err()).await;
    server.start_again();
    let second = event("order.placed", "o-1", 2);
    until("the server is back", async || broker.publish(&second).await.is_ok()).await;
    let delivery = within("the second event", waiting).await.unwrap();
    assert_eq!(delivery.event.id, second.id);
    delivery.ack().await.unwrap();
    broker.check().await.unwrap();
}

#[tokio::test]
async fn a_member_whose_group_was_deleted_makes_it_anew() {
    let Some(server) = nats() else { return };
    let broker = Broker::open(&server.url()).await.unwrap();
    let mut mail = broker.subscribe("mail", &["order.*"], promises::QUICK).await.unwrap();
    // It has asked: the server will tell it.
    let none = tokio::time::timeout(Duration::from_millis(100), mail.next()).await;
    assert!(none.is_err());
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("SHOP").await.unwrap();
    stream.delete_consumer("mail").await.unwrap();
    let placed = event("order.placed", "o-1", 1);
    broker.publish(&placed).await.unwrap();
    let mut errors = 0;
    let delivery = within("an event of the new group", async {
        loop {
            match mail.next().await {
                Ok(delivery) => return delivery,
                Err(_) => errors += 1,
            }
        }
    });
    assert_eq!(delivery.await.event.id, placed.id);
    assert_eq!(errors, 1, "it is told once");
}

fn restart(server: &mut Nats) {
    server.kill();
    server.start_again();
}
