//! What the platform makes of a database, asked of SQLite and of a real PostgreSQL alike.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use axum::http::StatusCode;
use shop_platform::database::{Engine, is_transient};
use shop_platform::idempotency::{self, Claim, IdempotencyKey};
use shop_platform::testing::{Postgres, postgres, until};
use shop_platform::{Database, DatabaseError, Migrations, UnixTime, consumer, outbox};
use sqlx::Row;

const NOTES: (&str, &str) = (
    "notes",
    "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, number BIGINT NOT NULL, more TEXT);
     CREATE INDEX notes_by_number ON notes (number)",
);
const MIGRATIONS: Migrations =
    &[outbox::MIGRATION, consumer::MIGRATION, idempotency::MIGRATION, NOTES];
const MORE: Migrations = &[
    MIGRATIONS[0],
    MIGRATIONS[1],
    MIGRATIONS[2],
    MIGRATIONS[3],
    ("authors", "ALTER TABLE notes ADD COLUMN author TEXT"),
];

async fn insert(database: &Database, id: &str, number: i64) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin_write().await?;
    sqlx::query("INSERT INTO notes (id, number, more) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(number)
        .bind(Option::<String>::None)
        .execute(&mut *transaction)
        .await?;
    database.commit(transaction, "notes.add").await
}

/// What each service relies on, whatever the engine.
async fn the_shared_dialect_works(url: &str, engine: Engine) {
    let database = Database::open(url, MIGRATIONS).await.unwrap();
    assert_eq!(database.engine(), engine);
    database.check().await.unwrap();
    insert(&database, "a", i64::MAX).await.unwrap();
    insert(&database, "b", -1).await.unwrap();
    let kept =
        sqlx::query("INSERT INTO notes (id, number) VALUES ($1, 7) ON CONFLICT (id) DO NOTHING")
            .bind("a")
            .execute(database.pool())
            .await
            .unwrap();
    assert_eq!(kept.rows_affected(), 0);
    let changed: i64 = sqlx::query_scalar(
        "UPDATE notes SET number = number + 1 WHERE id = $1 AND number < $2 RETURNING number",
    )
    .bind("b")
    .bind(5_i64)
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert_eq!(changed, 0);
    let rows = sqlx::query("SELECT id, number, more FROM notes ORDER BY number")
        .fetch_all(database.pool())
        .await
        .unwrap();
    let read = rows.iter().map(|row| {
        (row.get::<String, _>("id"), row.get::<i64, _>("number"), row.get::<Option<String>, _>(2))
    });
    let expected = [("b".to_owned(), 0, None), ("a".to_owned(), i64::MAX, None)];
    assert_eq!(read.collect::<Vec<_>>(), expected);
    let sum: i64 =
        sqlx::query_scalar("SELECT CAST(SUM(number) AS BIGINT) FROM notes WHERE id = 'b'")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_eq!(sum, 0);
    let twice = insert(&database, "a", 1).await.unwrap_err();
    assert!(twice.as_database_error().unwrap().is_unique_violation());
    assert!(!is_transient(&twice));
    database.close().await;
    // It is there, and takes what is new.
    let database = Database::open(url, MORE).await.unwrap();
    let found: Option<String> = sqlx::query_scalar("SELECT author FROM notes WHERE id = 'a'")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(found, None);
    database.close().await;
}

/// Of several who make the same write at the same time, one makes it.
async fn one_write_for_one_key(url: &str) {
    let database = Database::open(url, MIGRATIONS).await.unwrap();
    let writes = (0..6).map(|number| {
        let database = database.clone();
        tokio::spawn(async move {
            let key = IdempotencyKey::try_new("k-1").unwrap();
            let mut transaction = database.begin_write().await.unwrap();
            let now = UnixTime::from_seconds(100_000);
            let claim = idempotency::claim(&mut transaction, "ada", &key, "a", now).await;
            let (new, response) = match claim.unwrap() {
                Claim::Known(response) => (0, response),
                Claim::New(slot) => {
                    let kept = slot.keep(&mut transaction, StatusCode::OK, &number).await;
                    (1, kept.unwrap())
                }
            };
            database.commit(transaction, "test").await.unwrap();
            (new, response.body)
        })
    });
    let mut answers = Vec::new();
    for write in writes.collect::<Vec<_>>() {
        answers.push(write.await.unwrap());
    }
    assert_eq!(answers.iter().map(|(new, _)| new).sum::<i32>(), 1, "{answers:?}");
    assert!(answers.iter().all(|(_, body)| *body == answers[0].1), "{answers:?}");
    database.close().await;
}

#[tokio::test]
async fn sqlite_speaks_the_shared_dialect() {
    let directory = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite:{}/{name}.db", directory.path().display());
    the_shared_dialect_works(&url("dialect"), Engine::Sqlite).await;
    the_shared_dialect_works_in_memory().await;
    one_write_for_one_key(&url("keys")).await;
}

async fn the_shared_dialect_works_in_memory() {
    let database = Database::open(":memory:", MIGRATIONS).await.unwrap();
    insert(&database, "a", 1).await.unwrap();
    database.check().await.unwrap();
}

#[tokio::test]
async fn postgresql_speaks_the_shared_dialect() {
    let Some(server) = postgres() else { return };
    the_shared_dialect_works(&server.url("dialect"), Engine::Postgres).await;
}

#[tokio::test]
async fn postgresql_makes_one_write_for_one_key() {
    let Some(server) = postgres() else { return };
    one_write_for_one_key(&server.url("keys")).await;
}

#[tokio::test]
async fn several_processes_may_bring_one_database_up_to_date() {
    let Some(server) = postgres() else { return };
    let url = server.url("starts");
    let opened = (0..4).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { Database::open(&url, MIGRATIONS).await.unwrap().close().await })
    });
    for task in opened.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_deadlock_is_transient() {
    let Some(server) = postgres() else { return };
    let database = Database::open(&server.url("deadlock"), MIGRATIONS).await.unwrap();
    insert(&database, "a", 1).await.unwrap();
    insert(&database, "b", 1).await.unwrap();
    let lock = async |transaction: &mut shop_platform::Transaction, id: &str| {
        sqlx::query("UPDATE notes SET number = number WHERE id = $1")
            .bind(id)
            .execute(&mut **transaction)
            .await
    };
    let (mut one, mut two) =
        (database.begin_write().await.unwrap(), database.begin_write().await.unwrap());
    lock(&mut one, "a").await.unwrap();
    lock(&mut two, "b").await.unwrap();
    let first = async {
        let result = lock(&mut one, "b").await;
        drop(one);
        result
    };
    let second = async {
        let result = lock(&mut two, "a").await;
        drop(two);
        result
    };
    let (first, second) = tokio::join!(first, second);
    let errors: Vec<sqlx::Error> = [first.err(), second.err()].into_iter().flatten().collect();
    assert_eq!(errors.len(), 1, "one of them is chosen: {errors:?}");
    assert!(is_transient(&errors[0]), "{errors:?}");
}

#[tokio::test]
async fn the_pool_recovers_from_a_restart_of_the_server() {
    let Some(server) = Postgres::start() else { return };
    let database = Database::open(&server.url("restarts"), MIGRATIONS).await.unwrap();
    insert(&database, "a", 1).await.unwrap();
    let mut open = database.begin_write().await.unwrap();
    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server.start_again();
        server
    });
    let server = server.await.unwrap();
    // What was under way is lost, and known to be worth another try.
    let lost = sqlx::query("SELECT 1").execute(&mut *open).await.unwrap_err();
    assert!(is_transient(&lost), "{lost:?}");
    drop(open);
    let recovered = async || insert(&database, "b", 2).await.is_ok();
    until("the pool has recovered", recovered).await;
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(database.pool()).await.unwrap();
    assert_eq!(count, 2);
    drop(server);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_that_tells_no_password() {
    let Some(server) = postgres() else { return };
    let url = server.url("dialect").replace("postgres@", "postgres:secret@");
    let url = url.replace("/dialect", "/nothing");
    let error = Database::open(&url, MIGRATIONS).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Open(_)), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
