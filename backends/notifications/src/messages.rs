//! The messages in the database: added by events, read by their owner.
//!
//! An account's messages are numbered without a gap in the order of their commits, so that
//! "everything after this one" never misses one. The number stays in here and in the feed; clients
//! name a message by its id.

use std::collections::HashMap;

use shop_platform::database::Transaction;
use shop_platform::{Database, UnixTime};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::line::Line;
use crate::text::Text;

/// Accounts asked about in one statement.
const ACCOUNTS_AT_ONCE: usize = 200;

/// A message as it is stored, and its place among its account's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) sequence: i64,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) body: String,
    pub(crate) created_at: UnixTime,
    pub(crate) read_at: Option<UnixTime>,
    pub(crate) letter: LetterState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetterState {
    Pending,
    Sent,
    Failed,
}

impl LetterState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Result<Self, sqlx::Error> {
        match text {
            "pending" => Ok(Self::Pending),
            "sent" => Ok(Self::Sent),
            "failed" => Ok(Self::Failed),
            other => Err(sqlx::Error::Decode(format!("a letter cannot be {other:?}").into())),
        }
    }
}

/// How many messages an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) total: i64,
    pub(crate) unread: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Messages {
    database: Database,
}

impl Messages {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The newest messages of an account before `before`, newest first.
    pub(crate) async fn before(
        &self,
        account: Uuid,
        before: Option<i64>,
        unread_only: bool,
        limit: u32,
    ) -> Result<Vec<Message>, sqlx::Error> {
        let statement = if unread_only {
            "SELECT * FROM messages WHERE account_id = $1 AND sequence < $2 AND read_at IS NULL \
             ORDER BY sequence DESC LIMIT $3"
        } else {
            "SELECT * FROM messages WHERE account_id = $1 AND sequence < $2 \
             ORDER BY sequence DESC LIMIT $3"
        };
        let rows = sqlx::query(statement)
            .bind(account.to_string())
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(message).collect()
    }

    /// The oldest messages of an account after `after`, oldest first.
    pub(crate) async fn after(
        &self,
        account: Uuid,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Message>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT * FROM messages WHERE account_id = $1 AND sequence > $2 \
             ORDER BY sequence LIMIT $3",
        )
        .bind(account.to_string())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(message).collect()
    }

    /// The place of a message, if it is the account's.
    pub(crate) async fn place(&self, account: Uuid, id: Uuid) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT sequence FROM messages WHERE id = $1 AND account_id = $2")
            .bind(id.to_string())
            .bind(account.to_string())
            .fetch_optional(self.database.pool())
            .await
    }

    pub(crate) async fn counts(&self, account: Uuid) -> Result<Counts, sqlx::Error> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS total, COUNT(*) - COUNT(read_at) AS unread FROM messages \
             WHERE account_id = $1",
        )
        .bind(account.to_string())
        .fetch_one(self.database.pool())
        .await?;
        Ok(Counts { total: row.try_get("total")?, unread: row.try_get("unread")? })
    }

    /// The place of an account's latest message: 0 if it has none.
    pub(crate) async fn latest(&self, account: Uuid) -> Result<i64, sqlx::Error> {
        let latest = sqlx::query_scalar("SELECT latest FROM addresses WHERE account_id = $1")
            .bind(account.to_string())
            .fetch_optional(self.database.pool())
            .await?;
        Ok(latest.unwrap_or(0))
    }

    /// [`Self::latest`] of many; accounts that are not known are left out.
    pub(crate) async fn latest_of(
        &self,
        accounts: &[Uuid],
    ) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
        let mut found = HashMap::with_capacity(accounts.len());
        for some in accounts.chunks(ACCOUNTS_AT_ONCE) {
            let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
            // Nothing but the numbers of the placeholders is put together here.
            let mut query = sqlx::query(AssertSqlSafe(format!(
                "SELECT account_id, latest FROM addresses WHERE account_id IN ({})",
                places.join(", ")
            )));
            for account in some {
                query = query.bind(account.to_string());
            }
            for row in query.fetch_all(self.database.pool()).await? {
                found.insert(uuid(&row, "account_id")?, row.try_get("latest")?);
            }
        }
        Ok(found)
    }
}

/// Learns, or corrects, where an account's letters go.
pub(crate) async fn keep_address(
    transaction: &mut Transaction,
    account: Uuid,
    email: &Line,
    display_name: &Line,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO addresses (account_id, email, display_name, latest) VALUES ($1, $2, $3, 0) \
         ON CONFLICT (account_id) DO UPDATE \
         SET email = excluded.email, display_name = excluded.display_name",
    )
    .bind(account.to_string())
    .bind(email.as_str())
    .bind(display_name.as_str())
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// The place that the account's next message takes, and its owner's name. The account's row stays
/// locked until the commit. `None` for an account that nobody has told us of.
pub(crate) async fn next_place(
    transaction: &mut Transaction,
    account: Uuid,
) -> Result<Option<(i64, Line)>, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE addresses SET latest = latest + 1 WHERE account_id = $1 \
         RETURNING latest, display_name",
    )
    .bind(account.to_string())
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(|row| {
        let name: String = row.try_get("display_name")?;
        Ok((row.try_get("latest")?, Line::of(&name)))
    })
    .transpose()
}

/// What is added: at `sequence`, for the event `event`.
pub(crate) struct NewMessage<'a> {
    pub(crate) account: Uuid,
    pub(crate) sequence: i64,
    pub(crate) event: Uuid,
    pub(crate) kind: &'a str,
    pub(crate) text: &'a Text,
    pub(crate) now: UnixTime,
}

/// Adds a message with its letter to be sent. An event that has its message already adds none.
pub(crate) async fn add(
    transaction: &mut Transaction,
    new: &NewMessage<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO messages (id, account_id, sequence, event_id, kind, subject, body, \
         created_at, read_at, state, attempts, due_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', 0, $8) \
         ON CONFLICT (account_id, event_id) DO NOTHING",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(new.account.to_string())
    .bind(new.sequence)
    .bind(new.event.to_string())
    .bind(new.kind)
    .bind(&new.text.subject)
    .bind(&new.text.body)
    .bind(new.now.millis().cast_signed())
    .bind(Option::<i64>::None)
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// Marks a message as read and gives it back; `None` if it is not the account's. Once read it
/// keeps its time.
pub(crate) async fn mark_read(
    transaction: &mut Transaction,
    account: Uuid,
    id: Uuid,
    now: UnixTime,
) -> Result<Option<Message>, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE messages SET read_at = COALESCE(read_at, $1) WHERE id = $2 AND account_id = $3 \
         RETURNING *",
    )
    .bind(now.millis().cast_signed())
    .bind(id.to_string())
    .bind(account.to_string())
    .fetch_optional(&mut **transaction)
    .await?;
    row.as_ref().map(message).transpose()
}

pub(crate) fn uuid(row: &AnyRow, column: &str) -> Result<Uuid, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    Uuid::parse_str(text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(crate) fn time(row: &AnyRow, column: &str) -> Result<UnixTime, sqlx::Error> {
    let millis: i64 = row.try_get(column)?;
    Ok(UnixTime::from_millis(millis.cast_unsigned()))
}

fn message(row: &AnyRow) -> Result<Message, sqlx::Error> {
    let read_at: Option<i64> = row.try_get("read_at")?;
    Ok(Message {
        id: uuid(row, "id")?,
        sequence: row.try_get("sequence")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        body: row.try_get("body")?,
        created_at: time(row, "created_at")?,
        read_at: read_at.map(|millis| UnixTime::from_millis(millis.cast_unsigned())),
        letter: LetterState::parse(row.try_get("state")?)?,
    })
}
