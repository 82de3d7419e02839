//! The same scenarios on PostgreSQL, each on a database of its own.

use shop_platform::testing::{self, Postgres};

use super::oauth::{code, flow, refresh, secrets};
use super::*;

async fn shop_on(server: &Postgres, database: &str) -> Shop {
    shop_at(&server.url(database), shop_platform::SystemClock.now()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_that_writes_works_on_postgresql_too() {
    let Some(server) = testing::postgres() else { return };
    registration::registered_once(&shop_on(&server, "users_registration").await).await;
    flow::whole_flow(&shop_on(&server, "users_flow").await).await;
    code::code_reuse(&shop_on(&server, "users_code").await).await;
    code::bounded(&shop_on(&server, "users_bounded").await).await;
    refresh::rotation(&shop_on(&server, "users_refresh").await).await;
    secrets::dump(&shop_on(&server, "users_secrets").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_succeeds_on_postgresql_too() {
    let Some(server) = testing::postgres() else { return };
    code::attempts_at_once(Arc::new(shop_on(&server, "users_codes_at_once").await)).await;
    refresh::uses_at_once(Arc::new(shop_on(&server, "users_uses_at_once").await)).await;
    registrations_at_once(Arc::new(shop_on(&server, "users_at_once").await)).await;
}

/// Reads alone would not wait for each other there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_services_at_one_database_make_one_key() {
    let Some(server) = testing::postgres() else { return };
    let url = server.url("users_two");
    let now = UnixTime::from_seconds(1_700_000_000);
    // The first to come applies the migrations.
    shop_at(&url, now).await;
    let database = Database::open(&url, MIGRATIONS).await.unwrap();
    sqlx::query("DELETE FROM signing_keys").execute(database.pool()).await.unwrap();
    let (one, two) = tokio::join!(shop_at(&url, now), shop_at(&url, now));
    assert_eq!(one.keys.published(now), two.keys.published(now));
    assert_eq!(one.count("signing_keys").await, 1);
}
