//! The route of the live feed: it lets clients in.
//!
//! Who they are, from where they go on, whether there is a seat. What happens after that is the
//! session's.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shop_platform::UnixTime;
use shop_platform::auth::{AuthError, Caller};
use shop_platform::extract::QueryParameters;
use shop_platform::problem::ProblemBody;
use utoipa::IntoParams;

use super::CUSTOMER;
use crate::error::ApiError;
use crate::failures::Failures;
use crate::feed::session::Session;
use crate::state::App;

/// The subprotocol: what the frames mean.
const PROTOCOL: &str = "shop.v1";
/// Browsers cannot set headers, so they may offer their token as a subprotocol.
const TOKEN_PREFIX: &str = "bearer.";
/// A client has nothing to say but its farewell.
const LARGEST_FRAME: usize = 1024;
/// Each feed has two of them, and messages are small.
const BUFFER: usize = 4096;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FeedParameters {
    /// The id of the last notification that the client has: it gets those that followed, the
    /// latest 500 of them. Without it, the feed begins with the next one.
    after: Option<uuid::Uuid>,
}

/// Tells an account's new notifications over a WebSocket.
///
/// Each frame is a JSON object: `{"type": "ready"}` once nothing is missed from here on,
/// `{"type": "notification", ...}` with the fields of a notification, `{"type": "gap", "missed": n}`
/// before a replay that leaves out the oldest `n`. The token comes in the `Authorization` header
/// or, from a browser, as the subprotocol `bearer.TOKEN` beside `shop.v1`. The feed closes with
/// 1001 when the service stops, 1013 when the client is too slow, 4401 when the token has expired
/// and 4408 when a ping stays without an answer.
#[utoipa::path(
    get,
    path = "/v1/feed",
    tag = "feed",
    params(FeedParameters),
    security(("bearer" = [])),
    responses(
        (status = 101, description = "The connection is a WebSocket now"),
        (status = 426, description = "The request does not ask for a WebSocket", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 429, description = "The account has 10 feeds open", body = ProblemBody,
         content_type = "application/problem+json"),
        Failures,
    )
)]
pub(crate) async fn open(
    State(app): State<App>,
    FeedCaller { caller, expires_at }: FeedCaller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    QueryParameters(parameters): QueryParameters<FeedParameters>,
) -> Result<Response, ApiError> {
    caller.require(CUSTOMER)?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) => return Ok(upgrade_required()),
    };
    let account = caller.account;
    let after = match parameters.after {
        None => None,
        Some(id) => {
            let place = app.messages.place(account, id).await?;
            Some(place.ok_or_else(|| ApiError::unknown_place("after"))?)
        }
    };
    let seat = app.seats.take(account)?;
    let session = Session {
        seat,
        messages: app.messages.clone(),
        clock: Arc::clone(&app.clock),
        heartbeat: app.heartbeat,
        expires_at,
        after,
    };
    let metrics = app.metrics.clone();
    let response = upgrade
        .protocols([PROTOCOL])
        .max_message_size(LARGEST_FRAME)
        .max_frame_size(LARGEST_FRAME)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .on_upgrade(move |socket| async move {
            let ending = session.run(socket).await;
            metrics.feed_ended(ending);
            tracing::debug!(%account, reason = ending.label(), "a feed ended");
        });
    Ok(response)
}

fn upgrade_required() -> Response {
    let mut response = ApiError::NotAWebSocket.into_response();
    // RFC 9110, section 15.5.22: a 426 says to what.
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Who opens a feed, by the header that every request has or by a subprotocol, and until when.
pub(crate) struct FeedCaller {
    caller: Caller,
    expires_at: UnixTime,
}

impl axum::extract::FromRequestParts<App> for FeedCaller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let offered = offered_token(&parts.headers).map_err(IntoResponse::into_response)?;
        let (caller, token) = match offered {
            None => {
                let caller = Caller::from_request_parts(parts, app).await;
                (caller.map_err(IntoResponse::into_response)?, header_token(&parts.headers))
            }
            Some(_) if parts.headers.contains_key(AUTHORIZATION) => {
                return Err(ApiError::AmbiguousToken.into_response());
            }
            Some(token) => {
                let caller = app.verifier.verify(&token).await;
                (caller.map_err(|error| error.problem().into_response())?, token)
            }
        };
        let expires_at =
            end_of_verified(&token).ok_or_else(|| AuthError::Invalid.problem().into_response())?;
        Ok(Self { caller, expires_at })
    }
}

/// What stands behind the scheme, in a header that the platform has accepted.
fn header_token(headers: &HeaderMap) -> String {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
    token.unwrap_or_default().to_owned()
}

/// When a token ends. It is verified already: here it is only read once more.
fn end_of_verified(token: &str) -> Option<UnixTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token).ok()?;
    Some(UnixTime::from_seconds(claims.exp))
}

/// The token among the offered subprotocols. Two of them, or one without the protocol that we
/// could answer with, is a mistake that its author should hear of.
fn offered_token(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let offered: Vec<&str> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let mut tokens = offered.iter().filter_map(|protocol| protocol.strip_prefix(TOKEN_PREFIX));
    let Some(token) = tokens.next() else { return Ok(None) };
    if tokens.next().is_some() || !offered.contains(&PROTOCOL) {
        return Err(ApiError::AmbiguousToken);
    }
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_offered_once_and_beside_the_protocol() {
        let check = |values: &[&str], expected: Result<Option<&str>, ()>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(value).unwrap());
            }
            let found = offered_token(&headers).map_err(drop);
            assert_eq!(found, expected.map(|token| token.map(str::to_owned)), "{values:?}");
        };
        check(&[], Ok(None));
        check(&["shop.v1"], Ok(None));
        check(&["shop.v1, bearer.a.b.c"], Ok(Some("a.b.c")));
        check(&["bearer.a.b.c", "shop.v1"], Ok(Some("a.b.c")));
        check(&["bearer.a.b.c"], Err(()));
        check(&["bearer.a.b.c, shop.v2"], Err(()));
        check(&["shop.v1, bearer.a, bearer.b"], Err(()));
        check(&["shop.v1", "bearer.a", "bearer.a"], Err(()));
    }
}
