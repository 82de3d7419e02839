//! The shop's products: a catalogue to browse and to search, and the stock of what is in it.
//!
//! It says what there is, what it costs, and who may have it. What an order is, and whether it is
//! paid, is for others to know: stock is held for an id, and sold or given back by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use prometheus::Registry;
use shop_platform::auth::{AuthOptions, Verifier};
use shop_platform::settings::{self, ServerOptions, duration};
use shop_platform::{
    Bound, Broker, Clock, Consumer, Database, Migrations, Service, StartError, Task, consumer,
    idempotency, outbox, server::Shutdown,
};
use utoipa::OpenApi;

mod api;
mod catalogue;
mod error;
mod grpc;
mod inventory;
mod listing;
mod product_id;
mod search;
mod seed;
mod words;

use api::Api;
use catalogue::Catalogue;
use inventory::{Inventory, OrderEvents};

const MIGRATIONS: Migrations = &[
    ("products", include_str!("../migrations/1_products.sql")),
    ("words", include_str!("../migrations/2_words.sql")),
    ("stock", include_str!("../migrations/3_stock.sql")),
    outbox::MIGRATION,
    consumer::MIGRATION,
    idempotency::MIGRATION,
];

/// The shop's products service: a catalogue to browse and to search, and its stock
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shop-products", version, about)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SHOP_PRODUCTS_LISTEN", default_value = "127.0.0.1:7002")]
    pub listen: SocketAddr,
    /// Where to listen for gRPC; port 0 takes a free one.
    #[arg(long, env = "SHOP_PRODUCTS_GRPC_LISTEN", default_value = "127.0.0.1:7102")]
    pub grpc_listen: SocketAddr,
    /// The database: sqlite:FILE, postgres://..., or :memory: to forget everything on exit.
    #[arg(long, env = "SHOP_PRODUCTS_DATABASE", default_value = "sqlite:data/products.db")]
    pub database: String,
    /// The broker: log:FILE, log::memory: for this process alone, or nats://HOST:PORT.
    #[arg(long, env = "SHOP_BROKER", default_value = "log:data/events.db")]
    pub broker: String,
    /// What an empty catalogue is filled with.
    #[arg(long, env = "SHOP_PRODUCTS_SEED", value_enum, default_value_t = Seed::Demo)]
    pub seed: Seed,
    /// How many pieces of each product an empty catalogue is filled with.
    #[arg(long, env = "SHOP_PRODUCTS_SEED_STOCK", default_value_t = 1000)]
    pub seed_stock: u32,
    /// How long stock is held for an order that does not say.
    #[arg(long, env = "SHOP_PRODUCTS_HOLD", value_parser = duration, default_value = "10m")]
    pub hold: Duration,
    /// How often reservations that ran out are looked for.
    #[arg(long, env = "SHOP_PRODUCTS_EXPIRY_INTERVAL", value_parser = duration,
          default_value = "5s")]
    pub expiry_interval: Duration,
    #[command(flatten)]
    pub auth: AuthOptions,
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

/// Opens the database and the broker, seeds what is empty, and puts the service together.
async fn prepare(options: &Options, clock: Arc<dyn Clock>) -> Result<Service, StartError> {
    let verifier = Verifier::try_new(&options.auth, Arc::clone(&clock))?;
    prepare_with(options, clock, verifier).await
}

/// With a verifier of the caller's own.
async fn prepare_with(
    options: &Options,
    clock: Arc<dyn Clock>,
    verifier: Verifier,
) -> Result<Service, StartError> {
    if options.expiry_interval.is_zero() {
        let reason = "must be longer than nothing";
        return Err(StartError::Option { option: "expiry-interval", reason });
    }
    let database = Database::open(&options.database, MIGRATIONS).await?;
    if options.seed == Seed::Demo {
        let failed = |error| StartError::Prepare { what: "the catalogue", source: Box::new(error) };
        seed::fill_if_empty(&database, options.seed_stock).await.map_err(failed)?;
    }
    let broker = Broker::open(&options.broker).await?;
    let inventory = Inventory::new(database.clone(), Arc::clone(&clock), options.hold);
    let catalogue = Catalogue::new(database.clone());
    let service_clock = Arc::clone(&clock);
    let routes = api::routes(Api { catalogue, database: database.clone(), verifier, clock });
    let mut service = Service::new("products", routes, database, Registry::new());
    service.clock = service_clock;
    service.openapi = Some(api::document::Document::openapi());
    service.grpc = Some((options.grpc_listen, grpc::serve(inventory.clone())));
    service.broker = Some(broker);
    service.consumers = vec![Consumer {
        group: "products",
        kinds: OrderEvents::KINDS,
        handler: Arc::new(OrderEvents::new(inventory.clone())),
    }];
    let expiry = inventory.keep_expiring(options.expiry_interval);
    service.tasks = vec![Task { name: "expiry", run: Box::pin(expiry) }];
    Ok(service)
}

/// Listens; polling [`Bound::run`] serves until `shutdown` resolves.
pub async fn build(
    options: &Options,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Bound, StartError> {
    prepare(options, clock).await?.bind(options.listen, &options.server, shutdown).await
}

#[cfg(test)]
mod tests;
