//! Accounts: what an email address and a name may be, and the table that keeps them.

use shop_platform::database::Transaction;
use shop_platform::problem::FieldError;
use shop_platform::{Database, UnixTime};
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::scope::CUSTOMER;

/// An address that mail can be sent to, as far as its form tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmailAddress(String);

impl EmailAddress {
    /// `local@domain`: ASCII, no quoting, a domain of at least two labels, 254 characters.
    pub(crate) fn try_new(text: &str) -> Result<Self, FieldError> {
        let text = text.trim();
        let well_formed = text.len() <= 254
            && text
                .split_once('@')
                .is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(FieldError { field: "email", message: "must be an email address" })
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Addresses that differ in case alone reach one mailbox nearly everywhere, so they are one
    /// account: two would invite impersonation.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// A name to greet its owner by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DisplayName(String);

impl DisplayName {
    pub(crate) fn try_new(text: &str) -> Result<Self, FieldError> {
        let text = text.trim();
        let length = text.chars().count();
        if (1..=80).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            let message = "must have 1 to 80 characters and no control characters";
            Err(FieldError { field: "display_name", message })
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) scope: String,
    pub(crate) created_at: UnixTime,
}

/// The accounts in the database.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    database: Database,
}

impl Accounts {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds an account; `None` if the address has one. The database decides, in one statement,
    /// so that of two registrations at once exactly one succeeds.
    pub(crate) async fn insert(
        &self,
        transaction: &mut Transaction,
        email: &EmailAddress,
        name: &DisplayName,
        password_hash: &str,
        now: UnixTime,
    ) -> Result<Option<Account>, sqlx::Error> {
        let account = Account {
            id: Uuid::now_v7(),
            email: email.as_str().to_owned(),
            display_name: name.as_str().to_owned(),
            scope: CUSTOMER.to_owned(),
            created_at: now,
        };
        let inserted = sqlx::query(
            "INSERT INTO accounts \
             (id, email, email_key, display_name, password_hash, scope, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email_key) DO NOTHING",
        )
        .bind(account.id.to_string())
        .bind(account.email.as_str())
        .bind(email.key())
        .bind(account.display_name.as_str())
        .bind(password_hash)
        .bind(account.scope.as_str())
        .bind(now.millis().cast_signed())
        .execute(&mut **transaction)
        .await?;
        Ok((inserted.rows_affected() == 1).then_some(account))
    }

    /// Holds an account's row until the transaction ends: what is bounded for each account is
    /// changed by one request at a time.
    pub(crate) async fn lock(
        &self,
        transaction: &mut Transaction,
        id: Uuid,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE accounts SET scope = scope WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut **transaction)
            .await
            .map(drop)
    }

    /// The account of an address, with its password's hash.
    pub(crate) async fn by_email(
        &self,
        email: &EmailAddress,
    ) -> Result<Option<(Account, String)>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM accounts WHERE email_key = $1")
            .bind(email.key())
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| Ok((account(&row)?, row.try_get("password_hash")?))).transpose()
    }

    pub(crate) async fn by_id(&self, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM accounts WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| account(&row)).transpose()
    }
}

fn account(row: &AnyRow) -> Result<Account, sqlx::Error> {
    let id: &str = row.try_get("id")?;
    let created_at: i64 = row.try_get("created_at")?;
    Ok(Account {
        id: Uuid::parse_str(id).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        email: row.try_get("email")?,
        display_name: row.try_get("display_name")?,
        scope: row.try_get("scope")?,
        created_at: UnixTime::from_millis(created_at.cast_unsigned()),
    })
}

fn is_local(local: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    (1..=64).contains(&local.len())
        && local.bytes().all(known)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_by_form() {
        for good in ["a@b.c", " Ada.Lovelace+shop@Example.co.uk ", "o'neil@x-1.example"] {
            assert!(EmailAddress::try_new(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        let very_long = format!("a@{}com", "label.".repeat(50));
        for bad in [
            "",
            "@",
            "a@",
            "@b.c",
            "a@b",
            "a@@b.c",
            "a@b@c.d",
            "a b@c.d",
            ".a@b.c",
            "a.@b.c",
            "a..b@c.d",
            "a@-b.c",
            "a@b-.c",
            "a@b..c",
            "a@.b.c",
            "a@b.c.",
            "ä@b.c",
            "a@ä.c",
            "a\0@b.c",
            "\"a\"@b.c",
            "a@b.c\r\nx: y",
            "a@[127.0.0.1]",
            &long,
            &very_long,
        ] {
            assert!(EmailAddress::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn case_does_not_tell_addresses_apart() {
        let key = |text| EmailAddress::try_new(text).unwrap().key();
        assert_eq!(key("Ada@Example.COM"), key("ada@example.com"));
    }

    #[test]
    fn names_are_short_and_printable() {
        let check =
            |text: &str, good| assert_eq!(DisplayName::try_new(text).is_ok(), good, "{text:?}");
        check(" Ada ", true);
        check("Ζωή 🌊", true);
        check(&"ä".repeat(80), true);
        check(&"ä".repeat(81), false);
        check("  ", false);
        check("a\nb", false);
    }
}
