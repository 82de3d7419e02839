//! What the users service counts beyond its requests.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

#[derive(Debug)]
pub(crate) struct UserMetrics {
    pub(crate) registrations: IntCounter,
    pub(crate) password_hashes: IntCounter,
    logins: IntCounterVec,
    issuances: IntCounterVec,
}

/// How a login ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Login {
    Accepted,
    Refused,
    Throttled,
}

/// What happened to codes, tokens and grants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Issuance {
    Code,
    CodeExchanged,
    /// A code was used twice: its grant was revoked.
    CodeReused,
    Refreshed,
    /// A refresh token was used twice: its grant was revoked.
    RefreshReused,
    /// A client got a token for itself.
    Own,
    Revoked,
}

impl UserMetrics {
    pub(crate) fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let registrations =
            IntCounter::new("shop_users_registrations_total", "Accounts that were made")?;
        let password_hashes = IntCounter::new(
            "shop_users_password_hashes_total",
            "Passwords hashed or compared: the service's main cost",
        )?;
        let logins = IntCounterVec::new(
            Opts::new("shop_users_logins_total", "Login attempts, by how they ended"),
            &["outcome"],
        )?;
        let issuances = IntCounterVec::new(
            Opts::new("shop_users_oauth_total", "Codes, tokens and grants, by what happened"),
            &["event"],
        )?;
        registry.register(Box::new(registrations.clone()))?;
        registry.register(Box::new(password_hashes.clone()))?;
        registry.register(Box::new(logins.clone()))?;
        registry.register(Box::new(issuances.clone()))?;
        Ok(Self { registrations, password_hashes, logins, issuances })
    }

    pub(crate) fn login(&self, outcome: Login) {
        let outcome = match outcome {
            Login::Accepted => "accepted",
            Login::Refused => "refused",
            Login::Throttled => "throttled",
        };
        self.logins.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn issued(&self, event: Issuance) {
        let event = match event {
            Issuance::Code => "code",
            Issuance::CodeExchanged => "code_exchanged",
            Issuance::CodeReused => "code_reused",
            Issuance::Refreshed => "refreshed",
            Issuance::RefreshReused => "refresh_reused",
            Issuance::Own => "client_credentials",
            Issuance::Revoked => "revoked",
        };
        self.issuances.with_label_values(&[event]).inc();
    }
}
