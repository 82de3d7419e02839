//! ID tokens: who logged in, when, told to the client (OpenID Connect Core, section 2).
//!
//! They hold no more than that. What scopes like `email` ask for is read at the UserInfo endpoint
//! with the access token beside them.

use serde::{Deserialize, Serialize};
use shop_platform::UnixTime;
use uuid::Uuid;

use crate::keys::Keys;
use crate::secret;
use crate::token::{self, Issuer, TokenError};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdClaims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    /// The client's id.
    pub(crate) aud: String,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
    /// When the password was typed.
    pub(crate) auth_time: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    pub(crate) at_hash: String,
}

/// The login that an ID token tells of.
pub(crate) struct Login<'a> {
    pub(crate) account: Uuid,
    pub(crate) client_id: &'a str,
    pub(crate) auth_time: UnixTime,
    /// As the request had it; none in a token that is issued at a refresh (section 12.2).
    pub(crate) nonce: Option<String>,
}

pub(crate) fn issue(
    issuer: &Issuer,
    keys: &Keys,
    login: Login<'_>,
    access_token: &str,
    now: UnixTime,
) -> Result<String, TokenError> {
    let claims = IdClaims {
        iss: issuer.url().to_owned(),
        sub: login.account.to_string(),
        aud: login.client_id.to_owned(),
        exp: now.seconds() + issuer.lifetime().as_secs(),
        iat: now.seconds(),
        auth_time: login.auth_time.seconds(),
        nonce: login.nonce,
        at_hash: secret::half_digest(access_token),
    };
    token::sign(keys, token::JWT, &claims, now)
}
