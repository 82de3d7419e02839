//! Whoever shows an access token to this service itself.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use uuid::Uuid;

use crate::error::ApiError;
use crate::scope::Scopes;
use crate::state::Users;
use crate::token::TokenError;

/// A token that is ours, valid, and not revoked: holding one is the proof of it.
pub(crate) struct Bearer {
    /// An account's id, or that of a client which acts for itself.
    pub(crate) id: Uuid,
    pub(crate) scopes: Scopes,
}

impl Bearer {
    pub(crate) async fn of(users: &Users, headers: &HeaderMap) -> Result<Self, ApiError> {
        let invalid = || ApiError::Token(TokenError::Invalid);
        let (token, now) = (bearer_token(headers)?, users.clock.now());
        let claims = users.issuer.verify(&users.keys.keys(), token, now)?;
        if let Some(grant) = claims.grant_id
            && !users.grants.is_live(grant, now).await?
        {
            return Err(invalid());
        }
        let id = Uuid::parse_str(&claims.sub).map_err(|_| invalid())?;
        Ok(Self { id, scopes: claims.scope.parse().map_err(|_| invalid())? })
    }

    pub(crate) fn require(&self, scope: &'static str) -> Result<(), ApiError> {
        if self.scopes.contains(scope) { Ok(()) } else { Err(ApiError::InsufficientScope(scope)) }
    }
}

/// Two headers could be read as two people, so they are nobody.
fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(ApiError::NoToken)?;
    if values.next().is_some() {
        return Err(ApiError::AmbiguousAuthorization);
    }
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(ApiError::NoToken)?;
    let token = token.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(ApiError::NoToken)
    }
}
