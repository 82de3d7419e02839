//! A service's own database: a SQLite file in write-ahead mode, or memory for tests and trials.
//!
//! SQL stays in the dialect that SQLite and PostgreSQL share (`$1`, TEXT, BIGINT) wherever it can,
//! and what cannot stands in a migration of its own: a second engine is a second arm of
//! [`Database::open`], not a second set of queries.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{SqlSafeStr, Sqlite, Transaction};

/// Readers beside one writer; each connection is a thread and a page cache.
const CONNECTIONS: u32 = 4;
/// How long a statement waits for another process's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a connection: mostly the first, which a slow disk holds up. A request
/// gives up before, by its own timeout.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// An open database with its migrations applied.
#[derive(Debug, Clone)]
pub struct Database {
    pool: SqlitePool,
}

/// A service's migrations, oldest first: a description and SQL embedded in the binary. One that
/// was ever released never changes: its checksum is kept beside the data.
pub type Migrations = &'static [(&'static str, &'static str)];

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the database URL {0:?} is not understood: use sqlite:FILE or :memory:")]
    Url(String),
    #[error("the database file {path:?} cannot be created: {source}")]
    Create { path: PathBuf, source: std::io::Error },
    #[error("the database cannot be opened: {0}")]
    Open(#[source] sqlx::Error),
    #[error("the database cannot be brought up to date: {0}")]
    Migrate(#[source] MigrateError),
}

impl Database {
    /// Opens (and creates) the database that `url` names and applies what is new in `migrations`.
    pub async fn open(url: &str, migrations: Migrations) -> Result<Self, DatabaseError> {
        let pool = match Location::parse(url)? {
            Location::Memory => {
                // Each connection to memory is a database apart, so there is exactly one, for ever.
                let options = SqliteConnectOptions::new().in_memory(true).filename(":memory:");
                SqlitePoolOptions::new()
                    .max_connections(1)
                    .min_connections(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_with(options.foreign_keys(true))
                    .await
            }
            Location::File(path) => {
                create_private(&path)?;
                let options = SqliteConnectOptions::new()
                    .filename(&path)
                    .journal_mode(SqliteJournalMode::Wal)
                    // A commit that was answered survives a power cut.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(BUSY_TIMEOUT)
                    .foreign_keys(true);
                SqlitePoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_with(options)
                    .await
            }
        }
        .map_err(DatabaseError::Open)?;
        migrator(migrations).run(&pool).await.map_err(DatabaseError::Migrate)?;
        Ok(Self { pool })
    }

    /// Runs single statements and reads.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Begins a transaction that will write. It takes the write lock at once: one that read first
    /// could not be upgraded while another writes, and would fail instead of waiting.
    pub async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop)
    }

    /// Closes every connection and folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

enum Location {
    Memory,
    File(PathBuf),
}

impl Location {
    fn parse(url: &str) -> Result<Self, DatabaseError> {
        if matches!(url, ":memory:" | "sqlite::memory:") {
            return Ok(Self::Memory);
        }
        let path = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match path {
            Some(path) if !path.is_empty() && !path.contains('?') => Ok(Self::File(path.into())),
            _ => Err(DatabaseError::Url(url.to_owned())),
        }
    }
}

/// SQLite gives its log files the mode of the database, and databases hold keys and hashes: so
/// the file is made for its owner alone before SQLite would make it for everyone.
fn create_private(path: &Path) -> Result<(), DatabaseError> {
    let failed = |source| DatabaseError::Create { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(failed)
}

fn migrator(migrations: Migrations) -> Migrator {
    let migrations = (1..).zip(migrations).map(|(version, (description, sql))| {
        let (description, sql) = (Cow::Borrowed(*description), (*sql).into_sql_str());
        Migration::new(version, description, MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migrations = &[("notes", "CREATE TABLE notes (text TEXT NOT NULL)")];
    const TWO: Migrations = &[ONE[0], ("authors", "ALTER TABLE notes ADD COLUMN author TEXT")];
    const CHANGED: Migrations = &[("notes", "CREATE TABLE notes (text TEXT)")];

    #[tokio::test]
    async fn a_file_keeps_its_rows_and_takes_new_migrations() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/deep/notes.db", directory.path().display());
        let first = Database::open(&url, ONE).await.unwrap();
        sqlx::query("INSERT INTO notes VALUES ($1)").bind("a").execute(first.pool()).await.unwrap();
        first.close().await;
        let second = Database::open(&url, TWO).await.unwrap();
        let found: (String, Option<String>) = sqlx::query_as("SELECT text, author FROM notes")
            .fetch_one(second.pool())
            .await
            .unwrap();
        assert_eq!(found, ("a".to_owned(), None));
        second.check().await.unwrap();
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
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM notes")
            .fetch_one(database.pool())
            .await
            .unwrap();
        assert_eq!(count, 8);
    }

    #[tokio::test]
    async fn urls_of_other_engines_are_refused() {
        for url in ["postgres://localhost/users", "users.db", "sqlite:", "sqlite:a?mode=ro", ""] {
            let refused = Database::open(url, &[]).await.unwrap_err();
            assert!(matches!(refused, DatabaseError::Url(_)), "{url}: {refused}");
        }
    }
}
