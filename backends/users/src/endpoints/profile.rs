//! An account as its owner sees it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answers::{BearerRefused, Internal, NOT_CACHED, Unavailable};
use super::bearer::Bearer;
use crate::account::Account;
use crate::error::ApiError;
use crate::scope::CUSTOMER;
use crate::state::Users;
use crate::token::TokenError;

pub(crate) const PATH: &str = "/v1/users/me";

#[derive(Serialize, ToSchema)]
pub(crate) struct Profile {
    id: Uuid,
    /// As it was typed.
    email: String,
    display_name: String,
    #[schema(format = DateTime)]
    created_at: String,
}

impl Profile {
    pub(crate) fn of(account: &Account) -> Self {
        Self {
            id: account.id,
            email: account.email.clone(),
            display_name: account.display_name.clone(),
            created_at: account.created_at.to_string(),
        }
    }
}

/// The account of the one who asks
#[utoipa::path(get, path = PATH, tag = "accounts",
    responses(
        (status = 200, description = "The account", body = Profile),
        BearerRefused, Internal, Unavailable,
    ),
    security(("bearer" = ["customer"])))]
pub(crate) async fn me(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let bearer = Bearer::of(&users, &headers).await?;
    bearer.require(CUSTOMER)?;
    // The account may have gone since.
    let account = users.accounts.by_id(bearer.id).await?;
    let account = account.ok_or(ApiError::Token(TokenError::Invalid))?;
    Ok((NOT_CACHED, Json(Profile::of(&account))).into_response())
}
