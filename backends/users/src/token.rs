//! Tokens that this service signs: JWTs with ES256, short-lived, checked against its own keys.
//!
//! One signature serves several kinds of token; each says its kind in its header and whom it is
//! for in its audience, so that none passes for another.

use std::time::Duration;

use jsonwebtoken::{Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shop_platform::{StartError, UnixTime};
use uuid::Uuid;

use crate::keys::{ALGORITHM, Keys};

/// A longer one is nobody's: ours have some 500 bytes, and with a client's state in them 2000.
const TOKEN_LIMIT: usize = 8 * 1024;
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The kind of a token that is read by others.
pub(crate) const JWT: &str = "JWT";

/// Who issues tokens, for whom, and for how long.
#[derive(Debug, Clone)]
pub struct Issuer {
    issuer: String,
    audience: String,
    lifetime: Duration,
}

/// What an access token says (RFC 7519, section 4.1; RFC 9068, section 2.2 for `scope` and
/// `client_id`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The account's id, or the client's that acts for itself.
    pub sub: String,
    /// Words, with a space between them.
    pub scope: String,
    pub iat: u64,
    pub nbf: u64,
    pub exp: u64,
    /// New for each token.
    pub jti: String,
    /// The client that it was issued to; none for a login without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What it was issued by: this service refuses it as soon as the grant is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<Uuid>,
}

/// Whom a token speaks for, and what it allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) id: Uuid,
    pub(crate) scope: &'a str,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) grant_id: Option<Uuid>,
}

impl<'a> Subject<'a> {
    /// Someone who logged in without a client.
    pub(crate) fn account(id: Uuid, scope: &'a str) -> Self {
        Self { id, scope, client_id: None, grant_id: None }
    }
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
    /// `lifetime` is that of access tokens and ID tokens; `client` is who gets ID tokens.
    pub fn try_new(
        issuer: &str,
        audience: &str,
        lifetime: Duration,
        client: &str,
    ) -> Result<Self, StartError> {
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
        // An ID token is for a client: it must not open what an access token does.
        if audience.is_empty() || audience == client {
            let reason = "must not be empty, nor the id of a client";
            return Err(StartError::Option { option: "audience", reason });
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

    /// How long access tokens and ID tokens are valid.
    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    pub(crate) fn issue(
        &self,
        keys: &Keys,
        subject: &Subject<'_>,
        now: UnixTime,
    ) -> Result<Issued, TokenError> {
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: subject.id.to_string(),
            scope: subject.scope.to_owned(),
            iat: now.seconds(),
            nbf: now.seconds(),
            exp: now.seconds() + self.lifetime.as_secs(),
            jti: Uuid::new_v4().to_string(),
            client_id: subject.client_id.map(str::to_owned),
            grant_id: subject.grant_id,
        };
        let token = sign(keys, JWT, &claims, now)?;
        Ok(Issued { token, expires_in: self.lifetime })
    }

    /// What an access token says that is ours and valid now. Our clock made the token, so there
    /// is no leeway.
    pub(crate) fn verify(
        &self,
        keys: &Keys,
        token: &str,
        now: UnixTime,
    ) -> Result<Claims, TokenError> {
        let claims: Claims = self.open(keys, JWT, &self.audience, token)?;
        if now.seconds() >= claims.exp {
            return Err(TokenError::Expired);
        }
        if now.seconds() < claims.nbf || Uuid::parse_str(&claims.sub).is_err() {
            return Err(TokenError::Invalid);
        }
        Ok(claims)
    }

    /// The claims of a token that one of our keys signed, as this kind and for this audience.
    /// Its times are the caller's to check.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        keys: &Keys,
        kind: &str,
        audience: &str,
        token: &str,
    ) -> Result<T, TokenError> {
        let invalid = |_| TokenError::Invalid;
        if token.len() > TOKEN_LIMIT {
            return Err(TokenError::Invalid);
        }
        // Of the header only the kind and the key's id are believed, and the latter only to
        // choose among our own keys.
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        if header.typ.as_deref() != Some(kind) {
            return Err(TokenError::Invalid);
        }
        let key = header.kid.and_then(|kid| keys.find(&kid)).ok_or(TokenError::Invalid)?;
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // The library reads the machine's clock; ours is injected.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let opened = jsonwebtoken::decode::<T>(token, &key.decoding, &validation);
        opened.map(|token| token.claims).map_err(invalid)
    }
}

/// Signs claims with the key in use at `now`.
pub(crate) fn sign(
    keys: &Keys,
    kind: &str,
    claims: &impl Serialize,
    now: UnixTime,
) -> Result<String, TokenError> {
    let no_key = || TokenError::Sign(jsonwebtoken::errors::ErrorKind::InvalidEcdsaKey.into());
    let key = keys.signing(now).ok_or_else(no_key)?;
    let mut header = Header::new(ALGORITHM);
    header.typ = Some(kind.to_owned());
    header.kid = Some(key.kid.clone());
    jsonwebtoken::encode(&header, claims, &key.encoding).map_err(TokenError::Sign)
}
