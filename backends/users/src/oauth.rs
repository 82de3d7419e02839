//! OAuth 2.0 and OpenID Connect: applications get tokens for accounts whose passwords they never
//! see, and for themselves.
//!
//! The authorization code flow with proof keys, refresh tokens that rotate, and client
//! credentials; by RFC 6749, 6750, 7009, 7636, 8252, 8414, 9207 and 9700 and OpenID Connect Core
//! and Discovery. What the last RFC warns of is not there: no implicit flow, no password grant, no
//! plain challenge, no pattern in a redirect URI. No code, refresh token or secret is kept in
//! clear.
//!
//! Here are the values, the rules and the tables; the endpoints that use them are in `endpoints`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shop_platform::Clock;

pub mod client;
pub(crate) mod code;
pub(crate) mod form;
pub(crate) mod grant;
pub(crate) mod id_token;
mod pkce;
pub mod redirect;
pub(crate) mod request;

use code::Codes;
use grant::Grants;

/// How often what is over is dropped.
const UPKEEP: Duration = Duration::from_secs(60);

/// Drops what is over, again and again. What is over is refused all the same: this only saves
/// room, so that a failure may wait for the next turn.
pub(crate) async fn keep_small(codes: Codes, grants: Grants, clock: Arc<dyn Clock>) -> Infallible {
    loop {
        tokio::time::sleep(UPKEEP).await;
        match prune(&codes, &grants, &*clock).await {
            Ok(0) => {}
            Ok(dropped) => tracing::debug!(dropped, "codes and grants are over"),
            Err(error) => tracing::error!(%error, "codes and grants could not be dropped"),
        }
    }
}

pub(crate) async fn prune(
    codes: &Codes,
    grants: &Grants,
    clock: &dyn Clock,
) -> Result<u64, sqlx::Error> {
    let now = clock.now();
    Ok(codes.prune(now).await? + grants.prune(now).await?)
}
