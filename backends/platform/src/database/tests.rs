//! SQLite and memory; PostgreSQL is in `tests/database.rs`.

use super::*;

const ONE: Migrations = &[("notes", "CREATE TABLE notes (text TEXT NOT NULL)")];
const TWO: Migrations = &[ONE[0], ("authors", "ALTER TABLE notes ADD COLUMN author TEXT")];
const CHANGED: Migrations = &[("notes", "CREATE TABLE notes (text TEXT)")];

async fn count(database: &Database) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(database.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let url = format!("sqlite:{}/{round}.db", directory.path().display());
        let open = |_| tokio::spawn(Database::open(Box::leak(url.clone().into_boxed_str()), TWO));
        let opening: Vec<_> = (0..5).map(open).collect();
        for one in opening {
            let database = one.await.unwrap().unwrap();
            assert_eq!(count(&database).await, 0);
        }
    }
}

#[tokio::test]
async fn a_file_keeps_its_rows_and_takes_new_migrations() {
    let directory = tempfile::tempdir().unwrap();
    // Names with characters that mean something in a URL.
    let url = format!("sqlite:{}/deep #100%/no tes.db", directory.path().display());
    let first = Database::open(&url, ONE).await.unwrap();
    sqlx::query("INSERT INTO notes VALUES ($1)").bind("a").execute(first.pool()).await.unwrap();
    first.close().await;
    assert!(directory.path().join("deep #100%/no tes.db").exists());
    let second = Database::open(&url, TWO).await.unwrap();
    let found: (String, Option<String>) =
        sqlx::query_as("SELECT text, author FROM notes").fetch_one(second.pool()).await.unwrap();
    assert_eq!(found, ("a".to_owned(), None));
    second.check().await.unwrap();
    assert!(second.has(TWO[1]) && !second.has(CHANGED[0]));
}

#[tokio::test]
async fn a_migration_that_changed_after_its_release_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/notes.db", directory.path().display());
    Database::open(&url, ONE).await.unwrap().close().await;
    let refused = Database::open(&url, CHANGED).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Migrate(MigrateError::VersionMismatch(1))));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/notes.db", directory.path().display());
    let database = Database::open(&url, ONE).await.unwrap();
    for name in ["notes.db", "notes.db-wal"] {
        let mode = directory.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    database.close().await;
}

#[tokio::test]
async fn every_connection_to_a_file_is_set_up() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/notes.db", directory.path().display());
    let database = Database::open(&url, ONE).await.unwrap();
    // All of them at once, so that each is asked.
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(database.pool().acquire().await.unwrap());
    }
    for connection in &mut connections {
        let mut pragma = async |sql: &'static str| -> String {
            sqlx::query_scalar(sql).fetch_one(&mut **connection).await.unwrap()
        };
        assert_eq!(pragma("SELECT journal_mode FROM pragma_journal_mode").await, "wal");
        let number = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
        assert_eq!(pragma(number).await, "2");
        assert_eq!(pragma("SELECT CAST(timeout AS TEXT) FROM pragma_busy_timeout").await, "5000");
        let number = "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys";
        assert_eq!(pragma(number).await, "1");
    }
}

#[tokio::test]
async fn memory_is_one_database_for_every_task() {
    let database = Database::open(":memory:", ONE).await.unwrap();
    let write = "INSERT INTO notes VALUES ('a')";
    let tasks = (0..8).map(|_| {
        let pool = database.pool().clone();
        tokio::spawn(async move { sqlx::query(write).execute(&pool).await.unwrap() })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(count(&database).await, 8);
    let other = Database::open(":memory:", ONE).await.unwrap();
    assert_eq!(count(&other).await, 0, "and no other's");
}

#[tokio::test]
async fn a_transaction_is_kept_by_its_commit_alone() {
    let database = Database::open(":memory:", ONE).await.unwrap();
    let mut dropped = database.begin_write().await.unwrap();
    sqlx::query("INSERT INTO notes VALUES ('a')").execute(&mut *dropped).await.unwrap();
    drop(dropped);
    assert_eq!(count(&database).await, 0);
    let mut kept = database.begin_write().await.unwrap();
    sqlx::query("INSERT INTO notes VALUES ('a')").execute(&mut *kept).await.unwrap();
    database.commit(kept, "notes.add").await.unwrap();
    assert_eq!(count(&database).await, 1);
    // Whoever asks later still learns of it.
    database.committed().await;
}

#[tokio::test]
async fn a_held_write_lock_is_a_transient_error() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/notes.db", directory.path().display());
    let database = Database::open(&url, ONE).await.unwrap();
    let held = database.begin_write().await.unwrap();
    let mut other = database.pool().acquire().await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *other).await.unwrap();
    let write = sqlx::query("INSERT INTO notes VALUES ('a')").execute(&mut *other).await;
    assert!(is_transient(&write.unwrap_err()));
    drop(held);
}

#[tokio::test]
async fn a_full_disk_breaks_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/notes.db", directory.path().display());
    let database = Database::open(&url, ONE).await.unwrap();
    // More often than there are connections.
    for _ in 0..8 {
        let mut transaction = database.begin_write().await.unwrap();
        // As small as the file is now.
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut *transaction).await.unwrap();
        let write = "INSERT INTO notes VALUES (hex(zeroblob(100000)))";
        let full = sqlx::query(write).execute(&mut *transaction).await.unwrap_err();
        assert!(is_transient(&full), "{full}");
    }
    // There is room again.
    for _ in 0..8 {
        let mut transaction = database.begin_write().await.unwrap();
        sqlx::query("INSERT INTO notes VALUES ('a')").execute(&mut *transaction).await.unwrap();
        database.commit(transaction, "notes.add").await.unwrap();
    }
    assert_eq!(count(&database).await, 8);
}

#[tokio::test]
async fn urls_of_other_engines_are_refused() {
    for url in
        ["mysql://localhost/users", "users.db", "sqlite:", "sqlite:a?mode=ro", "", "postgres://a:b"]
    {
        let refused = Database::open(url, &[]).await.unwrap_err();
        assert!(matches!(refused, DatabaseError::Url(_)), "{url}: {refused}");
    }
    let refused = Database::open("mysql://root:secret@db/users", &[]).await.unwrap_err();
    assert!(!refused.to_string().contains("secret"), "{refused}");
}

#[tokio::test]
async fn memory_outlives_queries_that_are_given_up() {
    let database = Database::open(":memory:", ONE).await.unwrap();
    for nanos in (0..400).map(|number| number * 500) {
        let limit = std::time::Duration::from_nanos(nanos);
        drop(tokio::time::timeout(limit, count(&database)).await);
        // Given up at any point: it is polled once, and then no more.
        let mut query = Box::pin(count(&database));
        tokio::select! {
            biased;
            _ = &mut query => {}
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(count(&database).await, 0, "the table is still there");
}
