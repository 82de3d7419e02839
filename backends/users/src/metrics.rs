//! What the users service counts beyond its requests.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

#[derive(Debug)]
pub(crate) struct UserMetrics {
    pub(crate) registrations: IntCounter,
    pub(crate) password_hashes: IntCounter,
    logins: IntCounterVec,
}

/// How a login ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Login {
    Accepted,
    Refused,
    Throttled,
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
        registry.register(Box::new(registrations.clone()))?;
        registry.register(Box::new(password_hashes.clone()))?;
        registry.register(Box::new(logins.clone()))?;
        Ok(Self { registrations, password_hashes, logins })
    }

    pub(crate) fn login(&self, outcome: Login) {
        let outcome = match outcome {
            Login::Accepted => "accepted",
            Login::Refused => "refused",
            Login::Throttled => "throttled",
        };
        self.logins.with_label_values(&[outcome]).inc();
    }
}
