//! The shop's products: a catalogue to browse and to search.
//!
//! It says what there is and what it costs. How many are left, and for whom, comes with orders.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::ValueEnum;
use prometheus::Registry;
use shop_platform::settings::{self, ServerOptions};
use shop_platform::{Bound, Database, Migrations, Service, StartError, server::Shutdown};

mod api;
mod catalogue;
mod error;
mod listing;
mod search;
mod seed;

use catalogue::Catalogue;

const MIGRATIONS: Migrations = &[
    ("products", include_str!("../migrations/1_products.sql")),
    ("search", include_str!("../migrations/2_search.sql")),
];

/// The shop's products service: a catalogue to browse and to search
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shop-products", version, about)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SHOP_PRODUCTS_LISTEN", default_value = "127.0.0.1:7002")]
    pub listen: SocketAddr,
    /// The database: sqlite:FILE, or :memory: to forget everything on exit.
    #[arg(long, env = "SHOP_PRODUCTS_DATABASE", default_value = "sqlite:data/products.db")]
    pub database: String,
    /// What an empty catalogue is filled with.
    #[arg(long, env = "SHOP_PRODUCTS_SEED", value_enum, default_value_t = Seed::Demo)]
    pub seed: Seed,
    #[command(flatten)]
    pub server: ServerOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Seed {
    /// Two hundred products in ten categories.
    Demo,
    None,
}

impl settings::Options for Options {
    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn server(&self) -> &ServerOptions {
        &self.server
    }
}

/// Opens the database, seeds it if it is empty, and mounts the routes.
pub async fn prepare(options: &Options) -> Result<Service, StartError> {
    let database = Database::open(&options.database, MIGRATIONS).await?;
    if options.seed == Seed::Demo {
        let failed = |error| StartError::Prepare { what: "the catalogue", source: Box::new(error) };
        seed::fill_if_empty(&database).await.map_err(failed)?;
    }
    let routes = api::routes(Arc::new(Catalogue::new(database.clone())));
    Ok(Service { name: "products", routes, database, registry: Registry::new() })
}

/// Listens; polling [`Bound::run`] serves until `shutdown` resolves.
pub async fn build(options: &Options, shutdown: Shutdown) -> Result<Bound, StartError> {
    prepare(options).await?.bind(options.listen, &options.server, shutdown).await
}

#[cfg(test)]
mod tests;
