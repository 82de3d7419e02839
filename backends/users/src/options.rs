//! The flags of the service.

use std::net::SocketAddr;
use std::time::Duration;

use shop_platform::settings::{self, ServerOptions, duration};

use crate::oauth::client::ClientSecret;
use crate::oauth::redirect::RedirectUri;
use crate::password::PasswordCost;
use crate::scope::Scopes;

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
