//! What every handler gets: the tables, the keys and the rules of one service.
//!
//! It knows no endpoint.

use std::sync::Arc;

use shop_platform::{Clock, Database};

use crate::account::Accounts;
use crate::keys::KeyRing;
use crate::metrics::UserMetrics;
use crate::oauth::client::Clients;
use crate::oauth::code::Codes;
use crate::oauth::grant::Grants;
use crate::password::Passwords;
use crate::throttle::Throttle;
use crate::token::Issuer;

/// What the handlers share.
pub(crate) struct Users {
    pub(crate) database: Database,
    pub(crate) accounts: Accounts,
    pub(crate) clients: Clients,
    pub(crate) codes: Codes,
    pub(crate) grants: Grants,
    pub(crate) passwords: Passwords,
    pub(crate) throttle: Throttle,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) issuer: Issuer,
    pub(crate) metrics: UserMetrics,
    pub(crate) clock: Arc<dyn Clock>,
}
