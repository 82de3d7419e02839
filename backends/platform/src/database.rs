//! A service's own database: a SQLite file in write-ahead mode, memory for tests and trials, or a
//! PostgreSQL database.
//!
//! SQL is written once, in the dialect that both engines share: `$1` for placeholders, TEXT and
//! BIGINT for columns. What an engine needs to be told stands here, in the settings of its
//! connections, and nowhere else.

use std::borrow::Cow;
use std::sync::Arc;

use sqlx::AnyPool;
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use tokio::sync::Notify;

use crate::failpoint::{Failpoints, Kind};

mod location;
mod transient;

pub use location::Engine;
pub(crate) use transient::is_lock_timeout;
pub use transient::is_transient;

use location::Location;

/// A transaction of either engine. Dropped without a commit, it is rolled back.
pub type Transaction = sqlx::Transaction<'static, sqlx::Any>;

/// A service's migrations, oldest first: a description and SQL embedded in the binary. One that
/// was ever released never changes: its checksum is kept beside the data.
pub type Migrations = &'static [(&'static str, &'static str)];

/// An open database with its migrations applied.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
    engine: Engine,
    migrations: Migrations,
    failpoints: Failpoints,
    committed: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(
        "the database URL {0:?} is not understood: use sqlite:FILE, :memory: or \
         postgres://USER:PASSWORD@HOST/NAME"
    )]
    Url(String),
    #[error("the database file {path:?} cannot be created: {source}")]
    Create { path: std::path::PathBuf, source: std::io::Error },
    #[error("the database cannot be opened: {0}")]
    Open(#[source] sqlx::Error),
    #[error("the database cannot be brought up to date: {0}")]
    Migrate(#[source] MigrateError),
}

impl Database {
    /// Opens the database that `url` names and applies what is new in `migrations`. A file is made
    /// if there is none; a PostgreSQL database is there already.
    pub async fn open(url: &str, migrations: Migrations) -> Result<Self, DatabaseError> {
        Self::open_with(url, migrations, Failpoints::from_environment()).await
    }

    /// With failpoints of the caller's own.
    pub async fn open_with(
        url: &str,
        migrations: Migrations,
        failpoints: Failpoints,
    ) -> Result<Self, DatabaseError> {
        // The first caller installs them; the others find them installed.
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        let pool = location.connect().await?;
        let (engine, committed) = (location.engine(), Arc::default());
        let database = Self { pool, engine, migrations, failpoints, committed };
        database.migrate().await.map_err(DatabaseError::Migrate)?;
        Ok(database)
    }

    /// Processes that open one new database at the same time take turns. PostgreSQL has a lock for
    /// that, which is taken on the way; SQLite has its write lock, held from before the look at
    /// what is there.
    async fn migrate(&self) -> Result<(), MigrateError> {
        let migrator = migrator(self.migrations);
        match self.engine {
            Engine::Postgres => migrator.run(&self.pool).await,
            Engine::Sqlite => {
                let mut transaction = self.begin_write().await?;
                // `run` asks for more of a borrowed connection than the compiler can be told.
                migrator.run_direct(None, &mut *transaction, false).await?;
                Ok(transaction.commit().await?)
            }
        }
    }

    /// Runs single statements and reads.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Begins a transaction that will write. SQLite takes its one write lock at once: a
    /// transaction that read first could not be upgraded while another writes, and would fail
    /// instead of waiting. PostgreSQL locks row by row, as the statements go.
    pub async fn begin_write(&self) -> Result<Transaction, sqlx::Error> {
        match self.engine {
            Engine::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Engine::Postgres => self.pool.begin().await,
        }
    }

    /// Commits, with a failpoint before and one after, named `commit:STEP`. An error of the
    /// connection leaves in doubt whether it is committed.
    pub async fn commit(&self, transaction: Transaction, step: &str) -> Result<(), sqlx::Error> {
        self.failpoints.before(Kind::Commit, step);
        transaction.commit().await?;
        self.failpoints.after(Kind::Commit, step);
        self.committed.notify_one();
        Ok(())
    }

    pub fn failpoints(&self) -> &Failpoints {
        &self.failpoints
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop)
    }

    /// Closes every connection; SQLite folds its write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Resolves after a commit of this process: there may be events to send.
    pub(crate) async fn committed(&self) {
        self.committed.notified().await;
    }

    /// Whether the service listed `migration` among its own.
    pub(crate) fn has(&self, migration: (&str, &str)) -> bool {
        self.migrations.contains(&migration)
    }
}

fn migrator(migrations: Migrations) -> Migrator {
    let migrations = (1..).zip(migrations).map(|(version, (description, sql))| {
        let (description, sql) = (Cow::Borrowed(*description), (*sql).into_sql_str());
        Migration::new(version, description, MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests;
