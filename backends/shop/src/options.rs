//! One set of flags for all services. What has no flag here is taken from the environment, as the
//! service itself would.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Parser;
use shop_platform::StartError;
use shop_platform::settings::ServerOptions;

use crate::databases::Databases;

/// All of the shop's services in one process. Flags of single services beyond these are given by
/// their environment variables.
#[derive(Debug, Clone, Parser)]
#[command(name = "shop", version, about)]
pub struct Options {
    /// Where data, events and letters are kept, unless told otherwise.
    #[arg(long, env = "SHOP_DATA", default_value = "data")]
    pub data: String,
    /// The databases: sqlite:DIRECTORY (the default, with --data for the directory), or
    /// postgres://USER:PASSWORD@HOST:PORT with databases shop_users, shop_products, shop_orders,
    /// shop_payments and shop_notifications, which are there already.
    #[arg(long, env = "SHOP_DATABASES")]
    pub databases: Option<String>,
    /// The broker: log:FILE (the default, with events.db in --data) or nats://HOST:PORT.
    #[arg(long, env = "SHOP_BROKER")]
    pub broker: Option<String>,
    /// Where letters go: file:DIRECTORY (the default, with mail in --data) or smtp://HOST:PORT.
    #[arg(long, env = "SHOP_NOTIFICATIONS_MAIL")]
    pub mail: Option<String>,
    /// Where users listen; port 0 takes a free one, here and below.
    #[arg(long, env = "SHOP_USERS_LISTEN", default_value = "127.0.0.1:7001")]
    pub users_listen: SocketAddr,
    #[arg(long, env = "SHOP_PRODUCTS_LISTEN", default_value = "127.0.0.1:7002")]
    pub products_listen: SocketAddr,
    #[arg(long, env = "SHOP_ORDERS_LISTEN", default_value = "127.0.0.1:7003")]
    pub orders_listen: SocketAddr,
    #[arg(long, env = "SHOP_PAYMENTS_LISTEN", default_value = "127.0.0.1:7004")]
    pub payments_listen: SocketAddr,
    #[arg(long, env = "SHOP_NOTIFICATIONS_LISTEN", default_value = "127.0.0.1:7005")]
    pub notifications_listen: SocketAddr,
    #[arg(long, env = "SHOP_PRODUCTS_GRPC_LISTEN", default_value = "127.0.0.1:7102")]
    pub products_grpc_listen: SocketAddr,
    #[arg(long, env = "SHOP_PAYMENTS_GRPC_LISTEN", default_value = "127.0.0.1:7104")]
    pub payments_grpc_listen: SocketAddr,
    #[command(flatten)]
    pub server: ServerOptions,
}

/// Where the services find what they share, once `Options` make sense.
pub(crate) struct Places {
    pub(crate) databases: Databases,
    pub(crate) broker: String,
    pub(crate) mail: String,
}

impl Places {
    pub(crate) fn try_new(options: &Options) -> Result<Self, StartError> {
        let data = options.data.trim_end_matches('/');
        if data.is_empty() {
            return Err(StartError::Option { option: "data", reason: "must be a directory" });
        }
        let databases = match &options.databases {
            Some(databases) => Databases::try_new(databases)?,
            None => Databases::Sqlite { directory: data.to_owned() },
        };
        let broker = options.broker.clone().unwrap_or_else(|| format!("log:{data}/events.db"));
        if broker == "log::memory:" {
            // Each service opens its own, and would hear of nobody.
            let reason = "must be log:FILE or nats://HOST:PORT: the services share it";
            return Err(StartError::Option { option: "broker", reason });
        }
        let mail = options.mail.clone().unwrap_or_else(|| format!("file:{data}/mail"));
        Ok(Self { databases, broker, mail })
    }
}

/// A service's own flags, by its environment variables and defaults. What is wrong with them is
/// told as the service itself would tell it.
pub(crate) fn from_environment<O: Parser>() -> Result<O, StartError> {
    // Without flags: those of this process are not the service's.
    O::try_parse_from([OsString::from("shop")]).map_err(|error| {
        tracing::error!(%error, "an environment variable cannot be right");
        StartError::Option { option: "env", reason: "an environment variable cannot be right" }
    })
}

/// Where this process reaches what is bound at `address`.
pub(crate) fn url(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(host, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(arguments: &[&str]) -> Result<Places, StartError> {
        Places::try_new(&Options::parse_from([&["shop"], arguments].concat()))
    }

    #[test]
    fn everything_is_in_one_directory_unless_told_otherwise() {
        let found = places(&["--data", "/srv/shop/"]).unwrap();
        assert_eq!(found.databases.of("orders"), "sqlite:/srv/shop/orders.db");
        assert_eq!(found.broker, "log:/srv/shop/events.db");
        assert_eq!(found.mail, "file:/srv/shop/mail");
        let told = ["--databases", "postgres://db", "--broker", "nats://n:4222"];
        let found = places(&[&told[..], &["--mail", "smtp://mail:25"]].concat()).unwrap();
        assert_eq!(found.databases.of("orders"), "postgres://db/shop_orders");
        assert_eq!((&*found.broker, &*found.mail), ("nats://n:4222", "smtp://mail:25"));
        for wrong in [["--data", ""], ["--data", "/"], ["--databases", "mysql://db"]] {
            assert!(places(&wrong).err().unwrap().is_usage(), "{wrong:?}");
        }
        assert!(places(&["--broker", "log::memory:"]).err().unwrap().is_usage());
    }

    #[test]
    fn what_listens_everywhere_is_reached_here() {
        let check = |address: &str, expected: &str| {
            assert_eq!(url(address.parse().unwrap()), expected);
        };
        check("127.0.0.1:7001", "http://127.0.0.1:7001");
        check("0.0.0.0:7001", "http://127.0.0.1:7001");
        check("[::]:7001", "http://[::1]:7001");
        check("192.0.2.1:7001", "http://192.0.2.1:7001");
    }
}
