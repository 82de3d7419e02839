//! Where a database is and how its connections are set up.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyPool, ConnectOptions, Connection};

use super::DatabaseError;

/// Readers beside one writer; each connection is a thread and a page cache.
const SQLITE_CONNECTIONS: u32 = 4;
/// Each connection is a process of the server, which grants a hundred to all its clients.
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long to wait for a connection: mostly the first, which a slow disk or a server that is
/// starting holds up. A request gives up before, by its own timeout.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// In this order: the timeout holds for the switch to write-ahead mode already. Synchronous FULL: a
/// commit that was answered survives a power cut.
const SQLITE_FILE: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";
const SQLITE_MEMORY: &str = "PRAGMA foreign_keys = ON";
/// As long as SQLite waits for its lock.
const POSTGRES: &str = "SET lock_timeout = '5s'";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

pub(super) enum Location {
    Memory,
    File(PathBuf),
    Postgres(AnyConnectOptions),
}

impl Location {
    pub(super) fn parse(url: &str) -> Result<Self, DatabaseError> {
        if matches!(url, ":memory:" | "sqlite::memory:") {
            return Ok(Self::Memory);
        }
        let refused = || DatabaseError::Url(without_secrets(url));
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            PgConnectOptions::from_str(url).map_err(|_| refused())?;
            return AnyConnectOptions::from_str(url).map(Self::Postgres).map_err(|_| refused());
        }
        let path = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match path {
            Some(path) if !path.is_empty() && !path.contains('?') => Ok(Self::File(path.into())),
            _ => Err(refused()),
        }
    }

    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Memory | Self::File(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    pub(super) async fn connect(&self) -> Result<AnyPool, DatabaseError> {
        let pool = AnyPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = match self {
            Self::Memory => {
                // Each connection to memory is a database apart, so there is exactly one, for ever.
                let pool = pool.max_connections(1).min_connections(1);
                let pool = pool.idle_timeout(None).max_lifetime(None);
                // A test that is broken off, by a request that is given up, would close it.
                let pool = pool.test_before_acquire(false);
                set_up(pool, SQLITE_MEMORY).connect("sqlite::memory:").await
            }
            Self::File(path) => {
                create_private(path)?;
                let options = file_options(path).map_err(DatabaseError::Open)?;
                let pool = without_broken(pool.max_connections(SQLITE_CONNECTIONS));
                set_up(pool, SQLITE_FILE).connect_with(options).await
            }
            Self::Postgres(options) => {
                // A connection is tested before it is lent: that is the pool's default, and how it
                // recovers from a restart of the server.
                let pool = pool.max_connections(POSTGRES_CONNECTIONS);
                set_up(pool, POSTGRES).connect_with(options.clone()).await
            }
        };
        pool.map_err(DatabaseError::Open)
    }
}

/// Has every new connection run `sql` first.
fn set_up(pool: AnyPoolOptions, sql: &'static str) -> AnyPoolOptions {
    pool.after_connect(move |connection, _| {
        Box::pin(async move { sqlx::raw_sql(sql).execute(connection).await.map(drop) })
    })
}

/// Lends no connection that is believed to be in a transaction. When its disk is full, SQLite rolls
/// back by itself, and sqlx, whose own rollback then fails, would count a transaction on that
/// connection for ever and begin no other.
fn without_broken(pool: AnyPoolOptions) -> AnyPoolOptions {
    pool.before_acquire(|connection, _| {
        Box::pin(async move { Ok(!Connection::is_in_transaction(connection)) })
    })
}

fn file_options(path: &Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    // The URL is percent-decoded on the other side, and only this character is not encoded here.
    let path = path.to_string_lossy().replace('%', "%25");
    AnyConnectOptions::from_url(&SqliteConnectOptions::new().filename(path).to_url_lossy())
}

/// A URL that is not understood may hold a password all the same.
fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://...@{host}"),
        _ => url.to_owned(),
    }
}

/// SQLite gives its log files the mode of the database, and databases hold keys and hashes: so
/// the file is made for its owner alone before SQLite would make it for everyone. One that is there
/// is not opened: to close it would take away the locks that this process holds on it by another
/// connection.
fn create_private(path: &Path) -> Result<(), DatabaseError> {
    let failed = |source| DatabaseError::Create { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop).map_err(failed),
    }
}
