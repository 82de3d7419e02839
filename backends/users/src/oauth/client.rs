//! Clients: the applications that ask for tokens, and the two that the shop has.
//!
//! `shop-web` runs where its users see it and can keep no secret; `shop-backoffice` runs on the
//! shop's own machines, acts for itself and proves itself by a secret. What the flags say of them
//! is written to the table at each start.

use std::fmt;
use std::str::FromStr;

use shop_platform::Database;
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::redirect::RedirectUri;
use crate::error::ApiError;
use crate::password::{Password, Passwords};
use crate::scope::Scopes;

pub(crate) const WEB: &str = "shop-web";
pub(crate) const BACKOFFICE: &str = "shop-backoffice";
const WEB_SCOPE: &str = "openid profile email customer offline_access";

/// A secret that no one guesses, so that guessing need not be throttled: a lock that closed after
/// failures would let anyone lock the client out.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 32..=128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
}

impl GrantType {
    pub(crate) const ALL: [Self; 3] =
        [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == word)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }
}

/// Whether a client can keep a secret (RFC 6749, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Public,
    Confidential { secret_hash: Option<String> },
}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Whom a token names that the client gets for itself.
    pub(crate) subject: Uuid,
    pub(crate) grant_types: Vec<GrantType>,
    pub(crate) redirect_uris: Vec<RedirectUri>,
    pub(crate) scopes: Scopes,
}

impl Client {
    pub(crate) fn may_use(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    pub(crate) fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| registered.matches(uri))
    }
}

/// A client's secret, as a flag gives it. It prints as nothing.
#[derive(Clone)]
pub struct ClientSecret(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client's secret has 32 to 128 characters of ASCII without spaces: use random ones")]
pub struct ClientSecretError;

impl FromStr for ClientSecret {
    type Err = ClientSecretError;

    fn from_str(text: &str) -> Result<Self, ClientSecretError> {
        let good =
            SECRET_LENGTH.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| Self(text.to_owned())).ok_or(ClientSecretError)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientSecret")
    }
}

/// What the flags say of the clients.
#[derive(Debug, Clone)]
pub(crate) struct Seed<'a> {
    pub(crate) web_redirect_uris: &'a [RedirectUri],
    /// Without it the back office cannot get tokens.
    pub(crate) backoffice_secret: Option<&'a ClientSecret>,
    pub(crate) backoffice_scopes: &'a Scopes,
}

/// The clients in the database.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    database: Database,
}

impl Clients {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Option<Client>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM oauth_clients WHERE id = $1")
            .bind(id)
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| client(&row)).transpose()
    }

    /// Makes the table say what the flags do.
    pub(crate) async fn seed(
        &self,
        seed: &Seed<'_>,
        passwords: &Passwords,
    ) -> Result<(), ApiError> {
        let web = Client {
            id: WEB.to_owned(),
            kind: Kind::Public,
            subject: Uuid::now_v7(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            redirect_uris: seed.web_redirect_uris.to_vec(),
            scopes: WEB_SCOPE.parse().unwrap_or_default(),
        };
        self.put(&web).await?;
        let known = self.find(BACKOFFICE).await?.and_then(|client| match client.kind {
            Kind::Confidential { secret_hash } => secret_hash,
            Kind::Public => None,
        });
        let secret_hash = match seed.backoffice_secret {
            None => None,
            Some(secret) => Some(hash_of(secret, known, passwords).await?),
        };
        let backoffice = Client {
            id: BACKOFFICE.to_owned(),
            kind: Kind::Confidential { secret_hash },
            subject: Uuid::now_v7(),
            grant_types: vec![GrantType::ClientCredentials],
            redirect_uris: Vec::new(),
            scopes: seed.backoffice_scopes.clone(),
        };
        self.put(&backoffice).await?;
        Ok(())
    }

    /// Adds or replaces a client. Its subject stays what it was at first.
    pub(crate) async fn put(&self, client: &Client) -> Result<(), sqlx::Error> {
        let (kind, secret_hash) = match &client.kind {
            Kind::Public => ("public", None),
            Kind::Confidential { secret_hash } => ("confidential", secret_hash.clone()),
        };
        let grant_types: Vec<_> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
        let redirect_uris: Vec<_> = client.redirect_uris.iter().map(RedirectUri::as_str).collect();
        sqlx::query(
            "INSERT INTO oauth_clients \
             (id, subject, kind, secret_hash, grant_types, redirect_uris, scope) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET \
             kind = excluded.kind, secret_hash = excluded.secret_hash, \
             grant_types = excluded.grant_types, redirect_uris = excluded.redirect_uris, \
             scope = excluded.scope",
        )
        .bind(client.id.as_str())
        .bind(client.subject.to_string())
        .bind(kind)
        .bind(secret_hash)
        .bind(grant_types.join(" "))
        .bind(redirect_uris.join(" "))
        .bind(client.scopes.to_string())
        .execute(self.database.pool())
        .await
        .map(drop)
    }
}

/// The hash that is kept already, if it is of this secret: services that share a database and a
/// secret do not take turns in writing a new one.
async fn hash_of(
    secret: &ClientSecret,
    known: Option<String>,
    passwords: &Passwords,
) -> Result<String, ApiError> {
    if let Some(hash) = known
        && passwords.verify(Password::attempt(secret.0.clone()), Some(hash.clone())).await?
    {
        return Ok(hash);
    }
    Ok(passwords.hash(Password::attempt(secret.0.clone())).await?)
}

fn client(row: &AnyRow) -> Result<Client, sqlx::Error> {
    let (kind, subject): (String, String) = (row.try_get("kind")?, row.try_get("subject")?);
    let (grants, scope): (String, String) = (row.try_get("grant_types")?, row.try_get("scope")?);
    let redirect_uris: String = row.try_get("redirect_uris")?;
    let kind = match kind.as_str() {
        "public" => Kind::Public,
        _ => Kind::Confidential { secret_hash: row.try_get("secret_hash")? },
    };
    Ok(Client {
        id: row.try_get("id")?,
        kind,
        subject: Uuid::parse_str(&subject).map_err(decoding)?,
        grant_types: grants.split(' ').filter_map(GrantType::parse).collect(),
        redirect_uris: redirect_uris.split(' ').filter_map(|uri| uri.parse().ok()).collect(),
        scopes: scope.parse().map_err(decoding)?,
    })
}

pub(crate) fn decoding(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_print_as_nothing() {
        let check = |text: &str, good| {
            assert_eq!(text.parse::<ClientSecret>().is_ok(), good, "{text}");
        };
        check(&"a".repeat(31), false);
        check(&"a".repeat(32), true);
        check(&"a".repeat(129), false);
        check(&"a b".repeat(20), false);
        let secret: ClientSecret = "s3cret".repeat(6).parse().unwrap();
        assert_eq!(format!("{secret:?}"), "ClientSecret");
    }

    #[test]
    fn the_web_clients_scopes_are_scopes() {
        assert!(WEB_SCOPE.parse::<Scopes>().unwrap().contains("offline_access"));
    }
}
