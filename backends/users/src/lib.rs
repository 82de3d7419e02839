//! The shop's users: accounts, logins, and the tokens that every other service believes.
//!
//! It issues tokens and publishes the keys to check them by. Who may do what with a token is for
//! the gateway and the services to decide.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use shop_platform::settings::{self, ServerOptions, duration};
use shop_platform::{
    Bound, Broker, Clock, Database, Migrations, Service, StartError, Task, idempotency, outbox,
    server::Shutdown,
};

mod account;
mod api;
mod bearer;
mod discovery;
mod documentation;
mod error;
pub mod keys;
mod login;
mod memory;
mod metrics;
pub mod oauth;
pub mod password;
mod profile;
mod registration;
mod rotation;
mod throttle;
pub mod token;

use account::Accounts;
use error::ApiError;
use keys::{KeyPolicy, KeyRing};
use metrics::UserMetrics;
use oauth::client::{ClientSecret, Clients, Seed};
use oauth::code::Codes;
use oauth::grant::{Grants, RefreshPolicy};
use oauth::redirect::RedirectUri;
use oauth::scope::Scopes;
use password::{PasswordCost, Passwords};
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

/// The shop's users service: accounts, logins and tokens
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shop-users", version, about)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SHOP_USERS_LISTEN", default_value = "127.0.0.1:7001")]
    pub listen: SocketAddr,
    /// The database: sqlite:FILE, postgres://..., or :memory: to forget everything on exit.
    #[arg(long, env = "SHOP_USERS_DATABASE", default_value = "sqlite:data/users.db")]
    pub database: String,
    /// Where events go: log:FILE, nats://HOST:PORT, or log::memory: for nobody else to see.
    #[arg(long, env = "SHOP_BROKER", default_value = "log:data/events.db")]
    pub broker: String,
    /// What tokens name as their issuer (`iss`): the URL under which this service is reached.
    #[arg(long, env = "SHOP_USERS_ISSUER", default_value = "http://users.shop")]
    pub issuer: String,
    /// Whom tokens are meant for (`aud`).
    #[arg(long, env = "SHOP_USERS_AUDIENCE", default_value = "shop")]
    pub audience: String,
    /// How long a token is valid.
    #[arg(long, env = "SHOP_USERS_TOKEN_LIFETIME", value_parser = duration, default_value = "15m")]
    pub token_lifetime: Duration,
    /// How long a refresh token is good without use.
    #[arg(long, env = "SHOP_USERS_REFRESH_IDLE", value_parser = duration, default_value = "30d")]
    pub refresh_idle: Duration,
    /// How long refresh tokens are good after a login, however often they are used.
    #[arg(long, env = "SHOP_USERS_REFRESH_LIFETIME", value_parser = duration,
          default_value = "90d")]
    pub refresh_lifetime: Duration,
    /// How long a signing key signs before the next one takes over.
    #[arg(long, env = "SHOP_USERS_KEY_LIFETIME", value_parser = duration, default_value = "30d")]
    pub key_lifetime: Duration,
    /// How long a new signing key is published before it signs; 15s at least.
    #[arg(long, env = "SHOP_USERS_KEY_LEAD", value_parser = duration, default_value = "10m")]
    pub key_lead: Duration,
    /// Where the client shop-web may send its users back to, with commas between. On 127.0.0.1
    /// and [::1] any port will do.
    #[arg(
        long,
        env = "SHOP_USERS_WEB_REDIRECT_URIS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1/callback,http://[::1]/callback"
    )]
    pub web_redirect_uris: Vec<RedirectUri>,
    /// The secret of the client shop-backoffice, 32 characters at least; without one it cannot
    /// get tokens. Give it by the environment: flags are seen by everyone on the machine.
    #[arg(long, env = "SHOP_USERS_BACKOFFICE_SECRET", hide_env_values = true)]
    pub backoffice_secret: Option<ClientSecret>,
    /// What the client shop-backoffice may ask for, with spaces between.
    #[arg(
        long,
        env = "SHOP_USERS_BACKOFFICE_SCOPE",
        default_value = "keys:rotate stock:write books:read"
    )]
    pub backoffice_scope: Scopes,
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
    database: Database,
    accounts: Accounts,
    clients: Clients,
    codes: Codes,
    grants: Grants,
    passwords: Passwords,
    throttle: Throttle,
    keys: Arc<KeyRing>,
    issuer: Issuer,
    metrics: UserMetrics,
    clock: Arc<dyn Clock>,
}

/// The service before it has a socket, and the keys that it signs with.
pub struct Prepared {
    pub service: Service,
    pub keys: Arc<KeyRing>,
}

/// Opens the database and the broker, makes the first signing key if there is none, writes down
/// the clients, and mounts the routes.
pub async fn prepare(options: &Options, clock: Arc<dyn Clock>) -> Result<Prepared, StartError> {
    let lifetime = options.token_lifetime;
    let policy = KeyPolicy::try_new(options.key_lifetime, options.key_lead, lifetime)?;
    let refresh = RefreshPolicy::try_new(options.refresh_idle, options.refresh_lifetime, lifetime)?;
    let issuer = Issuer::try_new(&options.issuer, &options.audience, lifetime)?;
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
    let mut service = Service::new("users", api::routes(Arc::new(users)), database, registry);
    service.openapi = Some(documentation::document());
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
