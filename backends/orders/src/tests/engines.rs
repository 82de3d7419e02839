//! What depends on the database, on each of the two engines: writers at once, and what is left.

use std::collections::BTreeSet;

use shop_platform::RequestContext;
use shop_platform::testing::within;
use tokio::sync::Barrier;

use super::world::Trouble;
use super::*;
use crate::lines::{Money, PaymentMethod, PricedLine};
use crate::order::{Command, Fact, Order, OrderEvent, Placed, Reason, State};
use crate::store::StoreError;

/// A database of each engine, empty, and what must outlive it.
struct Engines {
    databases: Vec<Database>,
    _directory: tempfile::TempDir,
    _server: Option<Arc<shop_platform::testing::Postgres>>,
}

/// A file, where several connections write at once, and PostgreSQL where it is installed.
async fn engines() -> Engines {
    let directory = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}/orders.db", directory.path().display());
    let mut databases = vec![Database::open(&file, MIGRATIONS).await.unwrap()];
    let server = shop_platform::testing::postgres();
    if let Some(server) = &server {
        let url = server.url(&format!("orders_{}", Uuid::new_v4().simple()));
        databases.push(Database::open(&url, MIGRATIONS).await.unwrap());
    }
    Engines { databases, _directory: directory, _server: server }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

fn context() -> RequestContext {
    RequestContext::of(&HeaderMap::new())
}

async fn placed(database: &Database) -> Order {
    let price = Money { minor_units: 250, currency: "EUR".to_owned() };
    let line = PricedLine { product_id: "lamp".to_owned(), quantity: 2, unit_price: price.clone() };
    let event = OrderEvent::Placed(Placed {
        account_id: Uuid::now_v7(),
        lines: vec![line],
        total: Money { minor_units: 500, ..price },
        payment_method: PaymentMethod::try_new("pm_1".to_owned()).unwrap(),
    });
    let mut transaction = database.begin_write().await.unwrap();
    let order = store::place(&mut transaction, Uuid::now_v7(), &event, at(1)).await.unwrap();
    transaction.commit().await.unwrap();
    order
}

/// Executes in a transaction of its own, on the order as it is known.
async fn execute(
    database: &Database,
    order: &mut Order,
    commands: impl IntoIterator<Item = Command>,
) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().await?;
    store::execute(&mut transaction, order, commands, at(2)).await?;
    transaction.commit().await?;
    Ok(())
}

async fn load(database: &Database, id: Uuid) -> Result<Option<Order>, StoreError> {
    let mut connection = database.pool().acquire().await?;
    store::load(&mut connection, id).await
}

fn complaint(number: usize) -> Command {
    Command::Complain(format!("It squeaks, {number}."))
}

#[tokio::test]
async fn of_two_writers_at_once_one_wins() {
    let engines = engines().await;
    for database in &engines.databases {
        let order = placed(database).await;
        let barrier = Barrier::new(2);
        let write = async |reason| {
            let mut order = order.clone();
            barrier.wait().await;
            let written = execute(database, &mut order, [Command::Cancel(reason)]).await;
            written.map(|()| order)
        };
        let (one, two) = tokio::join!(write(Reason::Customer), write(Reason::TimedOut));
        let (winner, loser) = if one.is_ok() { (one, two) } else { (two, one) };
        assert!(matches!(loser, Err(StoreError::Conflict)), "{loser:?}");
        let stored = load(database, order.id()).await.unwrap().unwrap();
        assert_eq!(stored, winner.unwrap());
        assert_eq!((stored.version(), stored.state()), (2, State::Cancelling));
    }
}

#[tokio::test]
async fn an_order_is_loaded_by_its_snapshot_or_without() {
    let engines = engines().await;
    for database in &engines.databases {
        let mut order = placed(database).await;
        let snapshot = async || -> Option<i64> {
            sqlx::query_scalar("SELECT version FROM order_snapshots")
                .fetch_optional(database.pool())
                .await
                .unwrap()
        };
        let set = async |data: &str| {
            sqlx::query("UPDATE order_snapshots SET data = $1")
                .bind(data)
                .execute(database.pool())
                .await
                .unwrap();
        };
        for number in 2..=9 {
            execute(database, &mut order, [complaint(number)]).await.unwrap();
        }
        assert_eq!(snapshot().await, None);
        let facts = [Command::Record(Fact::StockReserved), Command::Cancel(Reason::Customer)];
        execute(database, &mut order, facts).await.unwrap();
        assert_eq!(snapshot().await, Some(11), "not at ten itself, but past it");
        let release = [Command::Record(Fact::StockReleased), Command::FinishCancelling];
        execute(database, &mut order, release).await.unwrap();
        assert_eq!(load(database, order.id()).await.unwrap().unwrap(), order);
        for rubbish in ["", "{}", r#"{"v":2,"order":{}}"#, r#"{"v":1,"order":{"id":7}}"#] {
            set(rubbish).await;
            assert_eq!(load(database, order.id()).await.unwrap().unwrap(), order, "{rubbish}");
        }
        sqlx::query("DELETE FROM order_events WHERE version = 3")
            .execute(database.pool())
            .await
            .unwrap();
        let gap = load(database, order.id()).await;
        assert!(matches!(gap, Err(StoreError::Gap(_))), "{gap:?}");
        assert_eq!(load(database, Uuid::now_v7()).await.unwrap(), None);
        sqlx::query("DELETE FROM order_snapshots").execute(database.pool()).await.unwrap();
    }
}

#[tokio::test]
async fn the_read_model_made_anew_is_the_same_to_the_byte() {
    let engines = engines().await;
    for database in &engines.databases {
        // More than a batch, of all kinds.
        for number in 0..120 {
            let mut order = placed(database).await;
            let commands = [
                vec![],
                vec![Command::Record(Fact::StockReserved)],
                vec![Command::Cancel(Reason::OutOfStock), Command::FinishCancelling],
                vec![
                    Command::Cancel(Reason::Customer),
                    Command::Record(Fact::PaymentUndone { refunded: true }),
                    Command::FinishCancelling,
                ],
                (0..9).map(complaint).collect(),
            ];
            execute(database, &mut order, commands[number % 5].clone()).await.unwrap();
        }
        let before = view_rows(database).await;
        assert_eq!(before.len(), 120);
        for damage in [
            "UPDATE orders_view SET state = 'confirmed', version = 77, lines = '[]'",
            "DELETE FROM orders_view WHERE state = 'cancelled'",
            "UPDATE orders_view SET order_id = 'f' || order_id WHERE complaints = 9",
            "DELETE FROM orders_view",
            "SELECT 1",
        ] {
            sqlx::query(damage).execute(database.pool()).await.unwrap();
            assert_eq!(rebuild::rebuild(database).await.unwrap(), 120);
            assert_eq!(view_rows(database).await, before, "after {damage}");
        }
    }
}

#[tokio::test]
async fn writers_and_the_making_anew_do_not_disturb_each_other() {
    let engines = engines().await;
    for database in &engines.databases {
        let mut orders = Vec::new();
        for _ in 0..20 {
            orders.push(placed(database).await);
        }
        let write = within("all complaints are written", async {
            for number in 0..5 {
                for order in &mut orders {
                    while let Err(error) = execute(database, order, [complaint(number)]).await {
                        assert!(matches!(error, StoreError::Conflict), "{error}");
                        *order = load(database, order.id()).await.unwrap().unwrap();
                    }
                }
            }
        });
        let rebuild = async {
            for _ in 0..10 {
                rebuild::rebuild(database).await.unwrap();
            }
        };
        tokio::join!(write, rebuild);
        let found = view_rows(database).await;
        rebuild::rebuild(database).await.unwrap();
        assert_eq!(view_rows(database).await, found);
        for order in &orders {
            let stored = load(database, order.id()).await.unwrap().unwrap();
            assert_eq!(stored.complaints().len(), 5);
        }
    }
}

#[tokio::test]
async fn a_saga_is_taken_by_one_and_again_when_its_lease_is_over() {
    let engines = engines().await;
    for database in &engines.databases {
        let start = async |id: Uuid, due: UnixTime| {
            let mut transaction = database.begin_write().await.unwrap();
            let (step, limit) = (crate::saga::Step::Reserve, Duration::from_secs(60));
            let started =
                sagas::start(&mut transaction, id, step, due, limit, &context()).await.unwrap();
            transaction.commit().await.unwrap();
            started
        };
        let take = async |now: UnixTime, limit: i64| {
            let mut transaction = database.begin_write().await.unwrap();
            let taken = sagas::take(&mut transaction, now, LEASE, limit).await.unwrap();
            transaction.commit().await.unwrap();
            taken
        };
        let ids: Vec<Uuid> = (0..10).map(|_| Uuid::now_v7()).collect();
        for (seconds, id) in (1..).zip(&ids) {
            assert!(start(*id, at(seconds)).await);
            assert!(!start(*id, at(seconds)).await, "an order has one saga");
        }
        assert_eq!(take(at(0), 99).await.len(), 0);
        let first: Vec<Uuid> = take(at(9), 2).await.iter().map(|saga| saga.order_id).collect();
        let first: BTreeSet<Uuid> = first.into_iter().collect();
        assert_eq!(first, ids[..2].iter().copied().collect(), "those that waited longest");
        // Several at once: none is taken twice, and none is left.
        let takes = tokio::join!(take(at(9), 3), take(at(9), 3), take(at(9), 3), take(at(9), 3));
        let taken = [takes.0, takes.1, takes.2, takes.3].concat();
        let rest = take(at(9), 99).await;
        let all: Vec<Uuid> = taken.iter().chain(&rest).map(|saga| saga.order_id).collect();
        assert_eq!(all.len(), 7);
        assert_eq!(
            all.iter().copied().collect::<BTreeSet<_>>(),
            ids[2..9].iter().copied().collect()
        );
        assert!(taken.iter().all(|saga| saga.attempts == 1));
        // The lease is over: taken again, and the former holder holds nothing.
        let again = take(at(9).plus(LEASE), 99).await;
        assert_eq!(again.len(), 10);
        let former = &taken[0];
        let mut transaction = database.begin_write().await.unwrap();
        assert!(!former.hold(&mut transaction).await.unwrap());
        let holder = again.iter().find(|saga| saga.order_id == former.order_id).unwrap();
        assert_eq!((holder.attempts, holder.deadline_at), (2, former.deadline_at));
        assert!(holder.hold(&mut transaction).await.unwrap());
        holder.again(&mut transaction, at(100)).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(take(at(99), 99).await.len(), 9);
        let mut transaction = database.begin_write().await.unwrap();
        assert!(sagas::wake(&mut transaction, holder.order_id, at(99)).await.unwrap());
        assert!(!sagas::wake(&mut transaction, holder.order_id, at(99)).await.unwrap());
        transaction.commit().await.unwrap();
        assert_eq!(take(at(99), 99).await.len(), 1);
    }
}

#[tokio::test]
async fn the_same_request_twice_at_once_is_one_order() {
    let engines = engines().await;
    for database in &engines.databases {
        let shop = Shop::on(database.clone(), World::with_stock(5));
        let other = shop.another();
        for key in ["one", "two", "three"] {
            let place = async |shop: &Shop| shop.place_as(key, 1, "pm_1").await;
            let (one, two, three) = tokio::join!(place(&shop), place(&other), place(&shop));
            for answer in [&one, &two, &three] {
                assert_eq!((answer.status, &answer.body), (202, &one.body), "{}", answer.text);
                assert_eq!(answer.headers["location"], format!("/v1/orders/{}", one.id()));
            }
        }
        let found = shop.get("/v1/orders").await;
        assert_eq!(found.body["items"].as_array().unwrap().len(), 3);
        assert_eq!(shop.outbox().await.len(), 3);
    }
}

#[tokio::test]
async fn sagas_come_to_their_end_among_several_processes() {
    let engines = engines().await;
    for database in &engines.databases {
        let shop = Shop::on(database.clone(), World::with_stock(15));
        let mut orders = Vec::new();
        for number in 0..20 {
            let method = if number % 7 == 0 { world::DECLINED } else { "pm_1" };
            orders.push(shop.place(1, method).await);
        }
        let troubles = [Trouble::Nothing, Trouble::AnswerLost, Trouble::Late(3), Trouble::Nothing];
        shop.world.script(troubles.into_iter().cycle().take(60));
        let (one, two) = (shop.another(), shop.another());
        // Customers cancel meanwhile, whatever the drivers are at.
        let cancel = async {
            for id in &orders[..5] {
                assert_eq!(shop.cancel(*id).await.status, 202);
            }
        };
        tokio::join!(one.driver.run_due(), two.driver.run_due(), cancel);
        shop.settle(None).await;
        shop.audit(&orders, 15).await;
        for id in &orders[..5] {
            assert_eq!(shop.state(*id).await.0, "cancelled");
        }
    }
}

#[tokio::test]
async fn a_crash_loses_nothing_on_either_engine() {
    let engines = engines().await;
    for database in &engines.databases {
        let shop = Shop::on(database.clone(), World::with_stock(5));
        let crashes = [Trouble::CrashBefore, Trouble::CrashAfter];
        shop.world.script(crashes.into_iter().cycle().take(6));
        let id = shop.place(5, "pm_1").await;
        shop.settle(None).await;
        assert_eq!(shop.state(id).await.0, "confirmed");
        shop.audit(&[id], 5).await;
    }
}
