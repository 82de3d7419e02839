//! The promises, one by one. Each is kept by any engine in whatever state it is found empty.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use shop_platform::Broker;
use shop_platform::broker::{Delivery, Failed, Policy, Published, Subscription};
use shop_platform::testing::slowly;
use uuid::Uuid;

use super::event;

pub(super) const QUICK: Policy = Policy {
    lease: Duration::from_secs(20),
    attempts: 3,
    first_backoff: Duration::from_millis(1),
    longest_backoff: Duration::from_millis(50),
    in_flight: 100,
};
/// As short as both engines keep to. Tests that use it wait for it by waiting for the event.
const BRIEF: Policy = Policy { lease: Duration::from_millis(400), ..QUICK };
/// For tests that must be within a lease, on a machine that is busy.
const ROOMY: Policy = Policy { lease: Duration::from_secs(2), ..QUICK };

async fn publish(broker: &Broker, count: u64) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for number in 0..count {
        let event = event("order.placed", "o-1", number);
        assert_eq!(broker.publish(&event).await.unwrap(), Published::New);
        ids.push(event.id);
    }
    ids
}

async fn join(broker: &Broker, group: &str, policy: Policy) -> Subscription {
    broker.subscribe(group, &["order.*"], policy).await.unwrap()
}

async fn next(subscription: &mut Subscription) -> Delivery {
    subscription.next().await.unwrap()
}

/// The event that comes next, acknowledged.
async fn take(subscription: &mut Subscription) -> Uuid {
    let delivery = next(subscription).await;
    let id = delivery.event.id;
    delivery.ack().await.unwrap();
    id
}

pub(super) async fn an_event_published_twice_comes_once(broker: &Broker) {
    let mut mail = join(broker, "mail", QUICK).await;
    let first = event("order.placed", "o-1", 1);
    assert_eq!(broker.publish(&first).await.unwrap(), Published::New);
    assert_eq!(broker.publish(&first).await.unwrap(), Published::Known);
    let delivery = next(&mut mail).await;
    assert_eq!((delivery.event.id, delivery.attempt), (first.id, 1));
    assert_eq!(delivery.event.data, first.data);
    assert_eq!(delivery.event.context.traceparent(), first.context.traceparent());
    delivery.ack().await.unwrap();
    assert_eq!(broker.publish(&first).await.unwrap(), Published::Known);
    let second = publish(broker, 1).await;
    assert_eq!(take(&mut mail).await, second[0]);
}

pub(super) async fn what_is_given_back_or_fails_comes_again_and_counts(broker: &Broker) {
    let mut mail = join(broker, "mail", QUICK).await;
    let ids = publish(broker, 1).await;
    for attempt in 1..3 {
        let delivery = next(&mut mail).await;
        assert_eq!((delivery.event.id, delivery.attempt), (ids[0], attempt));
        assert_eq!(delivery.fail("as the test wants").await.unwrap(), Failed::Waits);
    }
    let last = next(&mut mail).await;
    assert_eq!(last.attempt, 3);
    last.ack().await.unwrap();
    let ids = publish(broker, 1).await;
    next(&mut mail).await.give_back().await.unwrap();
    assert_eq!(take(&mut mail).await, ids[0]);
}

pub(super) async fn what_a_dead_member_held_comes_again_after_the_lease(broker: &Broker) {
    let ids: HashSet<Uuid> = publish(broker, 3).await.into_iter().collect();
    let mut dying = join(broker, "mail", BRIEF).await;
    let started = Instant::now();
    let held = next(&mut dying).await;
    assert!(ids.contains(&held.event.id));
    // A crash: nothing is said, neither of what it held nor of what it had fetched ahead.
    drop((held, dying));
    let mut heir = join(broker, "mail", BRIEF).await;
    let mut found = HashSet::new();
    while found.len() < 3 {
        let delivery = next(&mut heir).await;
        found.insert(delivery.event.id);
        if delivery.attempt == 2 {
            assert!(started.elapsed() >= BRIEF.lease, "within the lease");
        }
        delivery.ack().await.unwrap();
    }
    assert_eq!(found, ids);
}

pub(super) async fn an_extended_lease_lasts(broker: &Broker) {
    let mut mail = join(broker, "mail", ROOMY).await;
    let ids = publish(broker, 1).await;
    let held = next(&mut mail).await;
    let started = Instant::now();
    while started.elapsed() < 2 * ROOMY.lease {
        held.extend().await.unwrap();
        let none = tokio::time::timeout(ROOMY.lease / 8, mail.next()).await;
        assert!(none.is_err(), "it came again within its lease");
    }
    held.ack().await.unwrap();
    let next = publish(broker, 1).await;
    assert_eq!(take(&mut mail).await, next[0]);
    assert_ne!(next, ids);
}

pub(super) async fn members_of_a_group_share_and_none_gets_what_another_has(broker: &Broker) {
    let (mut one, mut two) = (join(broker, "mail", QUICK).await, join(broker, "mail", QUICK).await);
    let ids: HashSet<Uuid> = publish(broker, 40).await.into_iter().collect();
    // Both hold what they get until the end: nothing may come twice.
    let (mut of_one, mut of_two) = (vec![next(&mut one).await], vec![next(&mut two).await]);
    while of_one.len() + of_two.len() < ids.len() {
        tokio::select! {
            delivery = one.next() => of_one.push(delivery.unwrap()),
            delivery = two.next() => of_two.push(delivery.unwrap()),
        }
    }
    let all: HashSet<Uuid> =
        of_one.iter().chain(&of_two).map(|delivery| delivery.event.id).collect();
    assert_eq!(all, ids);
    for delivery in of_one.into_iter().chain(of_two) {
        assert_eq!(delivery.attempt, 1);
        delivery.ack().await.unwrap();
    }
}

pub(super) async fn each_group_gets_everything(broker: &Broker) {
    let mut mail = join(broker, "mail", QUICK).await;
    let mut bills = join(broker, "bills", QUICK).await;
    let ids = publish(broker, 20).await;
    for id in &ids {
        assert_eq!(take(&mut mail).await, *id);
    }
    for id in &ids {
        assert_eq!(take(&mut bills).await, *id);
    }
}

pub(super) async fn a_group_gets_the_kinds_that_it_asked_for(broker: &Broker) {
    let mut paid = broker.subscribe("paid", &["payment.*"], QUICK).await.unwrap();
    let kinds = ["order.placed", "payment.voided"];
    let mut some = broker.subscribe("some", &kinds, QUICK).await.unwrap();
    for kind in ["order.placed", "payment.captured", "order.confirmed", "payment.voided"] {
        broker.publish(&event(kind, "o-1", 0)).await.unwrap();
    }
    for (subscription, expected) in
        [(&mut paid, ["payment.captured", "payment.voided"]), (&mut some, kinds)]
    {
        for kind in expected {
            let delivery = next(subscription).await;
            assert_eq!(delivery.event.kind, kind);
            delivery.ack().await.unwrap();
        }
        let more = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await;
        assert!(more.is_err(), "{expected:?} and nothing else");
    }
}

pub(super) async fn what_fails_too_often_goes_to_the_dead_letters(broker: &Broker) {
    let mut mail = join(broker, "mail", QUICK).await;
    let mut staff = broker.subscribe("staff", &["dead.mail"], QUICK).await.unwrap();
    let ids = publish(broker, 1).await;
    for outcome in [Failed::Waits, Failed::Waits, Failed::Dead] {
        let delivery = next(&mut mail).await;
        assert_eq!(delivery.fail("no such address").await.unwrap(), outcome);
    }
    let dead = next(&mut staff).await;
    assert_eq!(dead.event.data["event"]["id"], ids[0].to_string());
    assert_eq!(dead.event.data["reason"], "no such address");
    assert_eq!(dead.event.data["attempts"], 3);
    dead.ack().await.unwrap();
    // At once, if there is no hope.
    let ids = publish(broker, 2).await;
    next(&mut mail).await.bury("rubbish").await.unwrap();
    let dead = next(&mut staff).await;
    assert_eq!(dead.event.data["event"]["id"], ids[0].to_string());
    dead.ack().await.unwrap();
    assert_eq!(take(&mut mail).await, ids[1]);
}

pub(super) async fn what_kills_its_receivers_goes_to_the_dead_letters(broker: &Broker) {
    let mut staff = broker.subscribe("staff", &["dead.mail"], QUICK).await.unwrap();
    let ids = publish(broker, 1).await;
    let mut mail = join(broker, "mail", BRIEF).await;
    for attempt in 1..=3 {
        let delivery = next(&mut mail).await;
        assert_eq!(delivery.attempt, attempt);
        drop(delivery);
    }
    // Nobody is given it a fourth time; somebody has to ask.
    let dead = tokio::select! {
        dead = next(&mut staff) => dead,
        fourth = mail.next() => panic!("{fourth:?}"),
    };
    assert_eq!(dead.event.data["event"]["id"], ids[0].to_string());
}

pub(super) async fn events_of_one_subject_come_in_order(broker: &Broker) {
    let mut mail = join(broker, "mail", QUICK).await;
    for round in 0..2 {
        for number in 0..50 {
            let subject = if number % 2 == 0 { "o-even" } else { "o-odd" };
            broker.publish(&event("order.placed", subject, round * 50 + number)).await.unwrap();
        }
        for number in 0..50 {
            let delivery = next(&mut mail).await;
            assert_eq!(delivery.event.data["number"], round * 50 + number);
            delivery.ack().await.unwrap();
        }
    }
}

pub(super) async fn a_new_group_begins_with_the_oldest_event(broker: &Broker) {
    let mut mail = join(broker, "mail", QUICK).await;
    let ids = publish(broker, 100).await;
    for id in &ids {
        assert_eq!(take(&mut mail).await, *id);
    }
    let mut late = join(broker, "late", QUICK).await;
    for id in &ids {
        assert_eq!(take(&mut late).await, *id);
    }
}

pub(super) async fn an_acknowledgement_after_the_lease_counts(broker: &Broker) {
    let mut slow = join(broker, "mail", ROOMY).await;
    let ids = publish(broker, 1).await;
    let first = next(&mut slow).await;
    let second = next(&mut slow).await;
    assert_eq!((first.event.id, second.event.id, second.attempt), (ids[0], ids[0], 2));
    first.ack().await.unwrap();
    drop(second);
    let more = tokio::time::timeout(ROOMY.lease * 3 / 2, slow.next()).await;
    assert!(more.is_err(), "what is handled does not come again");
}

pub(super) async fn a_wait_that_is_given_up_loses_nothing(broker: &Broker) {
    let mut mail = join(broker, "mail", QUICK).await;
    let publishing = async {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.extend(publish(broker, 1).await);
            tokio::task::yield_now().await;
        }
        ids
    };
    // Waits so short that they are given up at any point.
    let receiving = async {
        let mut found = Vec::new();
        while found.len() < 20 {
            let wait = Duration::from_micros(fastrand::u64(1..2000));
            if let Ok(delivery) = tokio::time::timeout(wait, mail.next()).await {
                let delivery = delivery.unwrap();
                assert_eq!(delivery.attempt, 1);
                found.push(delivery.event.id);
                delivery.ack().await.unwrap();
            }
        }
        found
    };
    let (ids, found) = tokio::join!(publishing, receiving);
    assert_eq!(ids, found);
    // In good order: what was fetched ahead is somebody else's at once, long before its lease.
    let ids: HashSet<Uuid> = publish(broker, 3).await.into_iter().collect();
    let first = take(&mut mail).await;
    let started = Instant::now();
    mail.close().await;
    let mut other = join(broker, "mail", QUICK).await;
    let mut rest = HashSet::from([first]);
    while rest.len() < ids.len() {
        let delivery = next(&mut other).await;
        rest.insert(delivery.event.id);
        delivery.ack().await.unwrap();
    }
    assert!(started.elapsed() < QUICK.lease, "not before the lease was over");
    assert_eq!(rest, ids);
}

pub(super) async fn no_more_than_allowed_is_in_flight(broker: &Broker) {
    let policy = Policy { in_flight: 2, ..QUICK };
    let mut mail = join(broker, "mail", policy).await;
    let ids = publish(broker, 3).await;
    let (one, _two) = (next(&mut mail).await, next(&mut mail).await);
    let third = tokio::time::timeout(Duration::from_millis(100), mail.next()).await;
    assert!(third.is_err(), "two are out");
    one.ack().await.unwrap();
    assert_eq!(take(&mut mail).await, ids[2]);
}

/// The last is taken when a question for events has long been over.
pub(super) async fn sixteen_slow_events_come_once_and_in_order(broker: &Broker) {
    let ids = publish(broker, 16).await;
    let mut mail = join(broker, "mail", QUICK).await;
    for (number, id) in ids.into_iter().enumerate() {
        let delivery = next(&mut mail).await;
        assert_eq!((delivery.event.id, delivery.attempt), (id, 1), "event {number}");
        slowly(Duration::from_millis(700)).await;
        delivery.ack().await.unwrap();
    }
}

/// The last waits behind the others for longer than its lease. Two thirds of a lease are room for a
/// machine that is busy.
pub(super) async fn what_waits_for_its_turn_keeps_its_lease(broker: &Broker) {
    let policy = Policy { lease: Duration::from_secs(3), ..QUICK };
    let mut left = publish(broker, 10).await.len();
    let mut mail = join(broker, "mail", policy).await;
    let mut in_hand = Some(next(&mut mail).await);
    let mut other = join(broker, "mail", policy).await;
    while left > 0 {
        let delivery = match in_hand.take() {
            Some(delivery) => delivery,
            None => tokio::select! {
                mine = next(&mut mail) => mine,
                theirs = next(&mut other) => theirs,
            },
        };
        assert_eq!(delivery.attempt, 1, "{left} are left");
        // The other member is there for what the first one loses.
        let handled = Duration::from_millis(500);
        in_hand = tokio::time::timeout(handled, next(&mut other)).await.ok();
        delivery.ack().await.unwrap();
        left -= 1;
    }
}

/// Its member lives, but has not asked for the next event in a long time.
pub(super) async fn what_waits_too_long_for_its_turn_is_for_others(broker: &Broker) {
    // It may come to the first member more than once, while a question of that is open.
    let policy = Policy { attempts: 20, ..BRIEF };
    let ids = publish(broker, 3).await;
    let mut stuck = join(broker, "mail", policy).await;
    assert_eq!(take(&mut stuck).await, ids[0]);
    let mut other = join(broker, "mail", policy).await;
    let found = HashSet::from([take(&mut other).await, take(&mut other).await]);
    assert_eq!(found, ids[1..].iter().copied().collect());
    drop(stuck);
}

pub(super) async fn before_a_restart(broker: &Broker) {
    let mut mail = join(broker, "mail", BRIEF).await;
    publish(broker, 5).await;
    for _ in 0..2 {
        take(&mut mail).await;
    }
    // One is held and never answered, two are not even handed out.
    drop(next(&mut mail).await);
    broker.check().await.unwrap();
    mail.close().await;
}

/// Which events come, up to the last that must.
pub(super) async fn after_a_restart(broker: &Broker) -> HashSet<u64> {
    let mut mail = join(broker, "mail", BRIEF).await;
    let (mut numbers, expected) = (HashSet::new(), HashSet::from([2, 3, 4]));
    while !numbers.is_superset(&expected) {
        let delivery = next(&mut mail).await;
        numbers.insert(delivery.event.data["number"].as_u64().unwrap());
        delivery.ack().await.unwrap();
    }
    numbers
}

/// What two processes do that share the broker: one publishes, both receive.
pub(super) async fn two_processes(one: &Broker, two: &Broker) {
    let (mut of_one, mut of_two) = (join(one, "mail", QUICK).await, join(two, "mail", QUICK).await);
    let ids: HashSet<Uuid> = publish(one, 40).await.into_iter().collect();
    let mut found = Vec::new();
    while found.len() < ids.len() {
        let delivery = tokio::select! {
            delivery = of_one.next() => delivery.unwrap(),
            delivery = of_two.next() => delivery.unwrap(),
        };
        assert_eq!(delivery.attempt, 1);
        found.push(delivery.event.id);
        delivery.ack().await.unwrap();
    }
    assert_eq!(found.iter().copied().collect::<HashSet<_>>(), ids);
}
