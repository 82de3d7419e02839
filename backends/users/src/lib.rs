//! The shop's users: accounts, logins, and the tokens that every other service believes.
//!
//! It issues tokens and publishes the keys to check them by. Who may do what with a token is for
//! the gateway and the services to decide.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use shop_platform::settings::{self, ServerOptions, duration};
use shop_platform::{Bound, Clock, Database, Migrations, Service, StartError, server::Shutdown};

mod account;
mod api;
mod error;
pub mod keys;
mod metrics;
pub mod password;
mod throttle;
pub mod token;

use account::Accounts;
use keys::{KeyPolicy, KeyRing};
use metrics::UserMetrics;
use password::{PasswordCost, Passwords};
use throttle::Throttle;
use token::Issuer;

const MIGRATIONS: Migrations = &[
    ("accounts", include_str!("../migrations/1_accounts.sql")),
    ("signing keys", include_str!("../migrations/2_signing_keys.sql")),
];

/// The shop's users service: accounts, logins and tokens
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shop-users", version, about)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SHOP_USERS_LISTEN", default_value = "127.0.0.1:7001")]
    pub listen: SocketAddr,
    /// The database: sqlite:FILE, or :memory: to forget everything on exit.
    #[arg(long, env = "SHOP_USERS_DATABASE", default_value = "sqlite:data/users.db")]
    pub database: String,
    /// What tokens name as their issuer (`iss`): the URL under which this service is reached.
    #[arg(long, env = "SHOP_USERS_ISSUER", default_value = "http://users.shop")]
    pub issuer: String,
    /// Whom tokens are meant for (`aud`).
    #[arg(long, env = "SHOP_USERS_AUDIENCE", default_value = "shop")]
    pub audience: String,
    /// How long a token is valid.
    #[arg(long, env = "SHOP_USERS_TOKEN_LIFETIME", value_parser = duration, default_value = "15m")]
    pub token_lifetime: Duration,
    /// How long a signing key signs before the next one takes over.
    #[arg(long, env = "SHOP_USERS_KEY_LIFETIME", value_parser = duration, default_value = "30d")]
    pub key_lifetime: Duration,
    /// How long a new signing key is published before it signs; 15s at least.
    #[arg(long, env = "SHOP_USERS_KEY_LEAD", value_parser = duration, default_value = "10m")]
    pub key_lead: Duration,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Tests hash cheaply; nobody else should.
    #[arg(skip)]
    pub password_cost: PasswordCost,
}

impl settings::Options for Options {
    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn server(&self) -> &ServerOptions {
        &self.server
    }
}

/// What the handlers share.
struct Users {
    accounts: Accounts,
    passwords: Passwords,
    throttle: Throttle,
    keys: Arc<KeyRing>,
    issuer: Issuer,
    metrics: UserMetrics,
    clock: Arc<dyn Clock>,
}

/// The service before it has a socket: its routes, and the keys that need upkeep.
pub struct Prepared {
    pub service: Service,
    pub keys: Arc<KeyRing>,
}

/// Opens the database, makes the first signing key if there is none, and mounts the routes.
pub async fn prepare(options: &Options, clock: Arc<dyn Clock>) -> Result<Prepared, StartError> {
    let policy =
        KeyPolicy::try_new(options.key_lifetime, options.key_lead, options.token_lifetime)?;
    let issuer = Issuer::try_new(&options.issuer, &options.audience, options.token_lifetime)?;
    let database = Database::open(&options.database, MIGRATIONS).await?;
    let keys = KeyRing::open(database.clone(), policy, clock.now()).await;
    let keys = Arc::new(keys.map_err(|error| StartError::Prepare {
        what: "the signing keys",
        source: Box::new(error),
    })?);
    let registry = Registry::new();
    let metrics = UserMetrics::try_new(&registry)?;
    let users = Users {
        accounts: Accounts::new(database.clone()),
        passwords: Passwords::new(options.password_cost, metrics.password_hashes.clone()),
        throttle: Throttle::default(),
        keys: Arc::clone(&keys),
        issuer,
        metrics,
        clock,
    };
    let routes = api::routes(Arc::new(users));
    Ok(Prepared { service: Service { name: "users", routes, database, registry }, keys })
}

/// Listens; polling [`Bound::run`] serves and keeps the keys fresh until `shutdown` resolves.
pub async fn build(
    options: &Options,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Bound, StartError> {
    let Prepared { service, keys } = prepare(options, Arc::clone(&clock)).await?;
    let Bound { address, run } = service.bind(options.listen, &options.server, shutdown).await?;
    let run = async move {
        tokio::select! {
            drained = run => drained,
            never = keys.keep_fresh(clock) => match never {},
        }
    };
    Ok(Bound { address, run: Box::pin(run) })
}

#[cfg(test)]
mod tests;
