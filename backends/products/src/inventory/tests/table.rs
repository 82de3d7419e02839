//! Each call on each history: what it answers, what is where afterwards, and who was told.

use serde_json::{Value, json};
use shop_platform::{Event, Handler, HandlerError};

use super::*;

/// What may happen to a reservation of three of ten pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Reserve,
    ReserveOther,
    Commit,
    Release,
    Expire,
}

use Call::{Commit, Expire, Release, Reserve, ReserveOther};

async fn run(shelf: &Shelf, id: Uuid, call: Call) -> &'static str {
    match call {
        Reserve => word(&shelf.reserve(id, &[("a", 3)]).await),
        ReserveOther => word(&shelf.reserve(id, &[("a", 4)]).await),
        Commit => word(&shelf.commit(id).await),
        Release => word(&shelf.release(id).await),
        Expire => {
            shelf.expire().await;
            "ok"
        }
    }
}

#[tokio::test]
async fn every_call_on_every_history() {
    const FREE: (i64, i64, i64) = (10, 0, 0);
    const HELD: (i64, i64, i64) = (7, 3, 0);
    const SOLD: (i64, i64, i64) = (7, 0, 3);
    let check = async |history: &[Call], expected: [(Call, &str, (i64, i64, i64)); 5]| {
        for (call, answer, figures) in expected {
            let shelf = Shelf::open(&shop_platform::testing::database(), &[("a", 10)]).await;
            let id = Uuid::now_v7();
            for earlier in history {
                run(&shelf, id, *earlier).await;
            }
            let told = shelf.told().await.len();
            let before = shelf.figures("a").await;
            let found = run(&shelf, id, call).await;
            let after = shelf.figures("a").await;
            assert_eq!((found, after), (answer, figures), "{history:?}, then {call:?}");
            let news = usize::from(before != after);
            assert_eq!(shelf.told().await.len(), told + news, "{history:?}, then {call:?}");
            // Whatever it did, doing it again answers the same and changes nothing.
            if call != ReserveOther {
                assert_eq!(run(&shelf, id, call).await, answer, "{history:?}, twice {call:?}");
            }
            assert_eq!(shelf.figures("a").await, after);
            assert_eq!(shelf.told().await.len(), told + news);
            shelf.audit().await;
        }
    };
    check(
        &[],
        [
            (Reserve, "ok", HELD),
            (ReserveOther, "ok", (6, 4, 0)),
            (Commit, "not-held", FREE),
            (Release, "ok", FREE),
            (Expire, "ok", FREE),
        ],
    )
    .await;
    check(
        &[Reserve],
        [
            (Reserve, "ok", HELD),
            (ReserveOther, "other-lines", HELD),
            (Commit, "ok", SOLD),
            (Release, "ok", FREE),
            (Expire, "ok", FREE),
        ],
    )
    .await;
    check(
        &[Reserve, Commit],
        [
            (Reserve, "ok", SOLD),
            (ReserveOther, "other-lines", SOLD),
            (Commit, "ok", SOLD),
            (Release, "ok", FREE),
            (Expire, "ok", SOLD),
        ],
    )
    .await;
    for ended in [&[Reserve, Release][..], &[Reserve, Commit, Release]] {
        check(
            ended,
            [
                (Reserve, "released", FREE),
                (ReserveOther, "other-lines", FREE),
                (Commit, "released", FREE),
                (Release, "ok", FREE),
                (Expire, "ok", FREE),
            ],
        )
        .await;
    }
    for ended in [&[Reserve, Expire][..], &[Reserve, Expire, Release]] {
        check(
            ended,
            [
                (Reserve, "expired", FREE),
                (ReserveOther, "other-lines", FREE),
                (Commit, "expired", FREE),
                (Release, "ok", FREE),
                (Expire, "ok", FREE),
            ],
        )
        .await;
    }
    check(
        &[Release],
        [
            (Reserve, "released", FREE),
            (ReserveOther, "released", FREE),
            (Commit, "released", FREE),
            (Release, "ok", FREE),
            (Expire, "ok", FREE),
        ],
    )
    .await;
}

#[tokio::test]
async fn all_lines_are_held_or_none() {
    let shelf =
        Shelf::open(&shop_platform::testing::database(), &[("a", 10), ("b", 1), ("c", 10)]).await;
    let check = async |wanted: &[(&str, i64)], answer: &str| {
        assert_eq!(word(&shelf.reserve(Uuid::now_v7(), wanted).await), answer, "{wanted:?}");
        shelf.audit().await;
    };
    check(&[("a", 1), ("b", 2), ("c", 1)], "out-of-stock").await;
    check(&[("a", 1), ("b", 1), ("nothing", 1)], "unknown-product").await;
    assert_eq!(shelf.figures("a").await, (10, 0, 0));
    assert_eq!(shelf.figures("b").await, (1, 0, 0));
    check(&[("a", 1), ("b", 1), ("c", 10)], "ok").await;
    check(&[("c", 1)], "out-of-stock").await;
    assert_eq!(shelf.told().await, ["stock.reserved"]);
}

#[tokio::test]
async fn a_reservation_that_failed_can_be_tried_again() {
    let shelf = Shelf::open(&shop_platform::testing::database(), &[("a", 2)]).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    shelf.reserve(first, &[("a", 2)]).await.unwrap();
    assert_eq!(word(&shelf.reserve(second, &[("a", 1)]).await), "out-of-stock");
    shelf.release(first).await.unwrap();
    assert_eq!(word(&shelf.reserve(second, &[("a", 1)]).await), "ok");
}

#[tokio::test]
async fn expiry_takes_the_oldest_first_and_no_more_than_asked() {
    let shelf = Shelf::open(&shop_platform::testing::database(), &[("a", 10)]).await;
    for _ in 0..5 {
        shelf.reserve(Uuid::now_v7(), &[("a", 1)]).await.unwrap();
        shelf.clock.advance(Duration::from_secs(1));
    }
    shelf.clock.advance(HOLD - Duration::from_secs(3));
    assert_eq!(shelf.inventory.expire_due(2).await.unwrap(), 2);
    assert_eq!(shelf.figures("a").await, (7, 3, 0));
    assert_eq!(shelf.inventory.expire_due(2).await.unwrap(), 1, "two have time left");
    assert_eq!(shelf.inventory.expire_due(2).await.unwrap(), 0);
    assert_eq!(shelf.figures("a").await, (8, 2, 0));
    shelf.audit().await;
}

#[tokio::test]
async fn events_tell_what_moved() {
    let shelf = Shelf::open(&shop_platform::testing::database(), &[("a", 10), ("b", 10)]).await;
    let id = Uuid::now_v7();
    shelf.reserve(id, &[("b", 2), ("a", 1), ("b", 1)]).await.unwrap();
    shelf.commit(id).await.unwrap();
    shelf.release(id).await.unwrap();
    let late = Uuid::now_v7();
    shelf.reserve(late, &[("a", 1)]).await.unwrap();
    shelf.expire().await;
    let held = Uuid::now_v7();
    shelf.reserve(held, &[("a", 1)]).await.unwrap();
    shelf.release(held).await.unwrap();
    let kinds = shelf.told().await;
    let expected = [
        "stock.reserved",
        "stock.committed",
        "stock.returned",
        "stock.reserved",
        "stock.expired",
        "stock.reserved",
        "stock.released",
    ];
    assert_eq!(kinds, expected);
    let text: String = sqlx::query_scalar("SELECT event FROM outbox ORDER BY id LIMIT 1")
        .fetch_one(shelf.database.pool())
        .await
        .unwrap();
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&event["subject"], &event["source"]), (&json!(id), &json!("products")));
    let lines = json!([{"product_id": "a", "quantity": 1}, {"product_id": "b", "quantity": 3}]);
    assert_eq!(event["data"], json!({"reservation_id": id, "lines": lines}));
}

/// Delivers an event of an order.
async fn deliver(shelf: &Shelf, kind: &'static str, data: Value) -> Result<(), HandlerError> {
    let handler = OrderEvents::new(shelf.inventory.clone());
    let context = RequestContext::begin();
    let event = Event::new("orders", kind, "order", shelf.clock.now(), data, &context);
    let mut transaction = shelf.database.begin_write().await.unwrap();
    handler.handle(&mut transaction, &event).await?;
    Ok(shelf.database.commit(transaction, "test").await?)
}

#[tokio::test]
async fn orders_that_end_settle_their_stock_once() {
    let shelf = Shelf::open(&shop_platform::testing::database(), &[("a", 10)]).await;
    let (confirmed, cancelled, unknown) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    shelf.reserve(confirmed, &[("a", 1)]).await.unwrap();
    shelf.reserve(cancelled, &[("a", 2)]).await.unwrap();
    let data = |id: Uuid| json!({"order_id": id, "account_id": Uuid::nil(), "more": true});
    for _ in 0..2 {
        deliver(&shelf, "order.confirmed", data(confirmed)).await.unwrap();
        deliver(&shelf, "order.cancelled", data(cancelled)).await.unwrap();
        deliver(&shelf, "order.cancelled", data(unknown)).await.unwrap();
        assert_eq!(shelf.figures("a").await, (9, 0, 1));
    }
    assert_eq!(word(&shelf.reserve(unknown, &[("a", 1)]).await), "released");
    // Too late to be sold: it is logged, and the event is done with.
    deliver(&shelf, "order.confirmed", data(cancelled)).await.unwrap();
    deliver(&shelf, "order.confirmed", data(Uuid::now_v7())).await.unwrap();
    assert_eq!(shelf.figures("a").await, (9, 0, 1));
    for (kind, data) in [
        ("order.cancelled", json!({})),
        ("order.cancelled", json!({"order_id": "none"})),
        ("order.placed", data(confirmed)),
    ] {
        let refused = deliver(&shelf, kind, data).await.unwrap_err();
        assert!(matches!(refused, HandlerError::Unusable(_)), "{refused}");
    }
    shelf.audit().await;
}

#[tokio::test]
async fn the_table_refuses_books_that_do_not_balance() {
    let shelf = Shelf::open(&shop_platform::testing::database(), &[("a", 10)]).await;
    for change in [
        "UPDATE stock SET available = available - 1",
        "UPDATE stock SET available = available - 11, sold = sold + 11",
        "UPDATE stock SET supplied = -1, available = -1",
        "UPDATE reservations SET state = 'lost'",
    ] {
        let id = Uuid::now_v7();
        shelf.reserve(id, &[("a", 1)]).await.unwrap();
        let refused = sqlx::query(change).execute(shelf.database.pool()).await;
        assert!(refused.is_err(), "{change}");
        shelf.release(id).await.unwrap();
    }
}
