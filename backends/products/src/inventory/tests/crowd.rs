//! Many calls at once, on each engine: what is there is given out once.

use shop_platform::database::is_transient;
use shop_platform::testing::{self, within};
use tokio::task::JoinSet;

use super::*;

/// Runs a test on a SQLite file.
macro_rules! on_sqlite {
    ($test:path) => {{
        let directory = tempfile::tempdir().unwrap();
        $test(&format!("sqlite:{}/products.db", directory.path().display())).await;
    }};
}

/// Runs a test on PostgreSQL, if this machine has it.
macro_rules! on_postgres {
    ($test:path, $database:literal) => {{
        if let Some(server) = testing::postgres() {
            $test(&server.url($database)).await;
        }
    }};
}

/// Repeats what failed for a reason that passes, as orders would.
async fn persist<T, F>(mut call: impl FnMut() -> F) -> Result<T, InventoryError>
where
    F: Future<Output = Result<T, InventoryError>>,
{
    within("an answer that is none to be repeated", async {
        loop {
            match call().await {
                Err(InventoryError::Database(error)) if is_transient(&error) => {}
                Err(InventoryError::Contended) => {}
                answer => return answer,
            }
        }
    })
    .await
}

async fn the_last_hundred(url: &str) {
    let shelf = Shelf::open(url, &[("a", 100)]).await;
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let shelf = shelf.clone();
        calls.spawn(async move {
            let id = Uuid::now_v7();
            word(&persist(|| shelf.reserve(id, &[("a", 1)])).await)
        });
    }
    let mut answers: BTreeMap<&str, u32> = BTreeMap::new();
    while let Some(answer) = calls.join_next().await {
        *answers.entry(answer.unwrap()).or_default() += 1;
    }
    assert_eq!(answers, BTreeMap::from([("ok", 100), ("out-of-stock", 900)]));
    assert_eq!(shelf.figures("a").await, (0, 100, 0));
    assert_eq!(shelf.told().await.len(), 100);
    shelf.audit().await;
    shelf.database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_a_hundred_get_the_last_hundred_on_sqlite() {
    on_sqlite!(the_last_hundred);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_a_hundred_get_the_last_hundred_on_postgres() {
    on_postgres!(the_last_hundred, "products_last_hundred");
}

/// One id from many sides: it is reserved once, and of its ends one wins.
async fn one_end_each(url: &str) {
    let shelf = Shelf::open(url, &[("a", 1000), ("b", 1000)]).await;
    let orders: Vec<Uuid> = (0..40).map(|_| Uuid::now_v7()).collect();
    let mut calls = JoinSet::new();
    for id in orders.iter().flat_map(|id| [*id; 3]) {
        let shelf = shelf.clone();
        calls.spawn(async move {
            persist(|| shelf.reserve(id, &[("b", 1), ("a", 2)])).await.unwrap();
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(shelf.figures("a").await, (920, 80, 0));
    shelf.clock.advance(HOLD);
    for (number, id) in orders.iter().copied().enumerate() {
        for which in 0..3 {
            let shelf = shelf.clone();
            calls.spawn(async move {
                match (which, number % 2) {
                    (0, _) => drop(persist(|| shelf.commit(id)).await),
                    (1, 0) => persist(|| shelf.release(id)).await.unwrap(),
                    _ => drop(shelf.inventory.expire_due(5).await),
                }
            });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    shelf.audit().await;
    // A sale may have been taken back; what was released or expired was never sold.
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for kind in shelf.told().await {
        *kinds.entry(kind).or_default() += 1;
    }
    let count = |kind: &str| kinds.get(kind).copied().unwrap_or_default();
    assert_eq!(count("stock.reserved"), 40);
    let ends = count("stock.committed") + count("stock.released") + count("stock.expired");
    let (_, reserved, _) = shelf.figures("b").await;
    assert_eq!(i64::try_from(40 - ends).unwrap(), reserved, "one end each");
    for id in orders {
        persist(|| shelf.release(id)).await.unwrap();
    }
    assert_eq!(shelf.figures("a").await, (1000, 0, 0));
    shelf.audit().await;
    shelf.database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_commit_release_and_expiry_one_wins_on_sqlite() {
    on_sqlite!(one_end_each);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_commit_release_and_expiry_one_wins_on_postgres() {
    on_postgres!(one_end_each, "products_one_end");
}

/// The whole catalogue, with searches, on a server.
async fn the_catalogue(url: &str) {
    let database = Database::open(url, MIGRATIONS).await.unwrap();
    crate::seed::fill_if_empty(&database, 10).await.unwrap();
    crate::seed::fill_if_empty(&database, 10).await.unwrap();
    let books = stock::books(database.pool()).await.unwrap();
    let supplied: i64 = books.iter().map(|stock| stock.figures.supplied).sum();
    assert_eq!((books.len(), supplied), (200, 2000), "the second seed adds nothing");
    let catalogue = crate::catalogue::Catalogue::new(database.clone());
    for (search, expected) in [
        ("walnut lamp", Some("walnut-desk-lamp")),
        ("WALN lam", Some("walnut-desk-lamp")),
        ("wälnut lamp", Some("walnut-desk-lamp")),
        ("bread", Some("bread-knife-24-cm")),
        ("alnut", None),
        ("\0", None),
    ] {
        let listing = crate::listing::tests::searching(search);
        let found = catalogue.list(&listing).await.unwrap();
        assert_eq!(found.items.first().map(|product| product.id.as_str()), expected, "{search}");
    }
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_searched_alike_on_sqlite() {
    on_sqlite!(the_catalogue);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_searched_alike_on_postgres() {
    on_postgres!(the_catalogue, "products_catalogue");
}
