//! The one way in which an account's password is compared, for every endpoint that takes one.
//!
//! It knows no endpoint, and no client: a client's secret is compared in `credentials`.

use shop_platform::UnixTime;

use crate::account::{Account, EmailAddress};
use crate::error::ApiError;
use crate::metrics::Login;
use crate::password::Password;
use crate::state::Users;

/// The account that the address and the password belong to. An unknown address takes every step
/// that a wrong password does.
pub(crate) async fn authenticate(
    users: &Users,
    email: &EmailAddress,
    password: Password,
    now: UnixTime,
) -> Result<Account, ApiError> {
    let key = email.key();
    if let Err(wait) = users.throttle.charge(&key, now) {
        users.metrics.login(Login::Throttled);
        // Rounded up: a client that waits as told is let through.
        let retry_after_seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        return Err(ApiError::Throttled { retry_after_seconds });
    }
    let (account, hash) = users.accounts.by_email(email).await?.unzip();
    let matches = users.passwords.verify(password, hash).await?;
    let Some(account) = account.filter(|_| matches) else {
        users.metrics.login(Login::Refused);
        return Err(ApiError::Credentials);
    };
    users.throttle.clear(&key);
    users.metrics.login(Login::Accepted);
    Ok(account)
}
