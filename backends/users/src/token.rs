//! Access tokens: JWTs signed with ES256, short-lived, checked against this service's own keys.

use std::time::Duration;

use jsonwebtoken::{Header, Validation};
use serde::{Deserialize, Serialize};
use shop_platform::{StartError, UnixTime};
use uuid::Uuid;

use crate::keys::{ALGORITHM, Keys};

/// A longer one is nobody's: ours have some 500 bytes.
const TOKEN_LIMIT: usize = 8 * 1024;
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Who issues tokens, for whom, and for how long.
#[derive(Debug, Clone)]
pub struct Issuer {
    issuer: String,
    audience: String,
    lifetime: Duration,
}

/// What a token says (RFC 7519, section 4.1; RFC 8693, section 4.2 for `scope`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The account's id.
    pub sub: String,
    /// Words, with a space between them.
    pub scope: String,
    pub iat: u64,
    pub nbf: u64,
    pub exp: u64,
    /// New for each token.
    pub jti: String,
}

#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) expires_in: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token has expired")]
    Expired,
    /// Why is not told: it would help nobody but a forger.
    #[error("the token is not valid")]
    Invalid,
    #[error("the token cannot be signed: {0}")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

impl Issuer {
    pub fn try_new(issuer: &str, audience: &str, lifetime: Duration) -> Result<Self, StartError> {
        let rest = issuer.strip_prefix("https://").or_else(|| issuer.strip_prefix("http://"));
        let is_base = |rest: &str| {
            !rest.is_empty()
                && !rest.ends_with('/')
                && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"\\<>".contains(&byte))
        };
        if !rest.is_some_and(is_base) {
            let reason = "must be an http or https URL without query, fragment and final slash";
            return Err(StartError::Option { option: "issuer", reason });
        }
        if audience.is_empty() {
            return Err(StartError::Option { option: "audience", reason: "must not be empty" });
        }
        if lifetime < Duration::from_secs(1) || lifetime > LONGEST_LIFETIME {
            let reason = "must be between 1s and 24h";
            return Err(StartError::Option { option: "token-lifetime", reason });
        }
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned(), lifetime })
    }

    /// The base of this service's URLs, as its clients know them.
    pub fn url(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn issue(
        &self,
        keys: &Keys,
        account: Uuid,
        scope: &str,
        now: UnixTime,
    ) -> Result<Issued, TokenError> {
        let no_key = || TokenError::Sign(jsonwebtoken::errors::ErrorKind::InvalidEcdsaKey.into());
        let key = keys.signing(now).ok_or_else(no_key)?;
        let mut header = Header::new(ALGORITHM);
        header.kid = Some(key.kid.clone());
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: account.to_string(),
            scope: scope.to_owned(),
            iat: now.seconds(),
            nbf: now.seconds(),
            exp: now.seconds() + self.lifetime.as_secs(),
            jti: Uuid::new_v4().to_string(),
        };
        let token =
            jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(TokenError::Sign)?;
        Ok(Issued { token, expires_in: self.lifetime })
    }

    /// The account that a token was issued to. Our clock made the token, so there is no leeway.
    pub(crate) fn verify(
        &self,
        keys: &Keys,
        token: &str,
        now: UnixTime,
    ) -> Result<Uuid, TokenError> {
        let invalid = |_| TokenError::Invalid;
        if token.len() > TOKEN_LIMIT {
            return Err(TokenError::Invalid);
        }
        // Of the header only the key's id is believed, and only to choose among our own keys.
        let kid = jsonwebtoken::decode_header(token).map_err(invalid)?.kid;
        let key = kid.and_then(|kid| keys.find(&kid)).ok_or(TokenError::Invalid)?;
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // The library reads the machine's clock; ours is injected.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
        let claims = claims.map_err(|_| TokenError::Invalid)?.claims;
        if now.seconds() >= claims.exp {
            return Err(TokenError::Expired);
        }
        if now.seconds() < claims.nbf {
            return Err(TokenError::Invalid);
        }
        Uuid::parse_str(&claims.sub).map_err(|_| TokenError::Invalid)
    }
}
