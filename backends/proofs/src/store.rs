//! A look into a service's own database, of either engine, past the service.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection};

/// A connection of the auditor's own. The databases are there: services made them.
pub(crate) struct Store(AnyConnection);

impl Store {
    pub(crate) async fn open(url: &str) -> Self {
        // The first caller installs them; the others find them installed.
        sqlx::any::install_default_drivers();
        let connection = AnyConnection::connect(url).await;
        Self(connection.unwrap_or_else(|error| panic!("{url}: {error}")))
    }

    pub(crate) async fn rows(&mut self, statement: &'static str) -> Vec<AnyRow> {
        let rows = sqlx::query(statement).fetch_all(&mut self.0).await;
        rows.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    pub(crate) async fn number(&mut self, statement: &'static str) -> i64 {
        let number = sqlx::query_scalar(statement).fetch_one(&mut self.0).await;
        number.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// With these texts for `$1`, `$2` and so on.
    pub(crate) async fn execute(&mut self, statement: &'static str, texts: &[&str]) {
        let mut query = sqlx::query::<sqlx::Any>(statement);
        for text in texts {
            query = query.bind(*text);
        }
        let done = query.execute(&mut self.0).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub(crate) async fn close(self) {
        drop(self.0.close().await);
    }
}
