//! The shop's users: accounts, logins, and the tokens that every other service believes.
//!
//! It issues tokens and publishes the keys to check them by. Who may do what with a token is for
//! the gateway and the services to decide.

use std::sync::Arc;

use prometheus::Registry;
use shop_platform::{
    Bound, Broker, Clock, Database, Migrations, Service, StartError, Task, idempotency, outbox,
    server::Shutdown,
};

mod account;
mod endpoints;
mod error;
pub mod keys;
mod memory;
mod metrics;
pub mod oauth;
mod options;
pub mod password;
pub mod scope;
mod secret;
mod state;
mod throttle;
pub mod token;

pub use options::Options;

use account::Accounts;
use error::ApiError;
use keys::{KeyPolicy, KeyRing};
use metrics::UserMetrics;
use oauth::client::{self, Clients, Seed};
use oauth::code::Codes;
use oauth::grant::{Grants, RefreshPolicy};
use oauth::request;
use password::Passwords;
use state::Users;
use throttle::Throttle;
use token::Issuer;

const MIGRATIONS: Migrations = &[
    ("accounts", include_str!("../migrations/1_accounts.sql")),
    ("signing keys", include_str!("../migrations/2_signing_keys.sql")),
    ("signing key turn", include_str!("../migrations/3_signing_key_turn.sql")),
    ("oauth", include_str!("../migrations/4_oauth.sql")),
    outbox::MIGRATION,
    idempotency::MIGRATION,
];

/// The service before it has a socket, and the keys that it signs with.
pub struct Prepared {
    pub service: Service,
    pub keys: Arc<KeyRing>,
}

/// Opens the database and the broker, makes the first signing key if there is none, writes down
/// the clients, and mounts the routes.
pub async fn prepare(options: &Options, clock: Arc<dyn Clock>) -> Result<Prepared, StartError> {
    let lifetime = options.token_lifetime;
    let policy =
        KeyPolicy::try_new(options.key_lifetime, options.key_lead, lifetime, request::LIFETIME)?;
    let refresh = RefreshPolicy::try_new(options.refresh_idle, options.refresh_lifetime, lifetime)?;
    let issuer = Issuer::try_new(&options.issuer, &options.audience, lifetime, client::WEB)?;
    let database = Database::open(&options.database, MIGRATIONS).await?;
    let broker = Broker::open(&options.broker).await?;
    let keys = KeyRing::open(database.clone(), policy, clock.now()).await;
    let keys = Arc::new(keys.map_err(|error| StartError::Prepare {
        what: "the signing keys",
        source: Box::new(error),
    })?);
    let registry = Registry::new();
    let metrics = UserMetrics::try_new(&registry)?;
    let users = Users {
        accounts: Accounts::new(database.clone()),
        clients: Clients::new(database.clone()),
        codes: Codes::new(database.clone()),
        grants: Grants::new(database.clone(), refresh, lifetime),
        passwords: Passwords::new(options.password_cost, metrics.password_hashes.clone()),
        throttle: Throttle::default(),
        database: database.clone(),
        keys: Arc::clone(&keys),
        issuer,
        metrics,
        clock,
    };
    seed(&users, options).await.map_err(|error| StartError::Prepare {
        what: "the OAuth clients",
        source: Box::new(error),
    })?;
    let tasks = tasks(&users);
    let clock = Arc::clone(&users.clock);
    let mut service = Service::new("users", endpoints::routes(Arc::new(users)), database, registry);
    service.openapi = Some(endpoints::document());
    service.broker = Some(broker);
    service.tasks = tasks;
    service.clock = clock;
    Ok(Prepared { service, keys })
}

/// Listens; polling [`Bound::run`] serves, keeps the keys fresh and the tables small until
/// `shutdown` resolves.
pub async fn build(
    options: &Options,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Bound, StartError> {
    let Prepared { service, .. } = prepare(options, clock).await?;
    service.bind(options.listen, &options.server, shutdown).await
}

async fn seed(users: &Users, options: &Options) -> Result<(), ApiError> {
    let seed = Seed {
        web_redirect_uris: &options.web_redirect_uris,
        backoffice_secret: options.backoffice_secret.as_ref(),
        backoffice_scopes: &options.backoffice_scope,
    };
    users.clients.seed(&seed, &users.passwords).await
}

fn tasks(users: &Users) -> Vec<Task> {
    let (keys, clock) = (Arc::clone(&users.keys), Arc::clone(&users.clock));
    let keys =
        Task { name: "signing keys", run: Box::pin(async move { keys.keep_fresh(clock).await }) };
    let (codes, grants) = (users.codes.clone(), users.grants.clone());
    let run = oauth::keep_small(codes, grants, Arc::clone(&users.clock));
    let tables = Task { name: "codes and grants", run: Box::pin(run) };
    let hashes = users.metrics.password_hashes.clone();
    let memory = Task { name: "memory of passwords", run: Box::pin(memory::keep_small(hashes)) };
    vec![keys, tables, memory]
}

#[cfg(test)]
mod tests;
