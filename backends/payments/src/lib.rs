//! The shop's payments: cards to pay with, and the money of orders, held, taken or given back.
//!
//! It knows orders by their ids alone: when to hold, to take and to give back is for orders to
//! say. Whoever moves the money is behind [`processor`]; here it is a simulation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use shop_platform::auth::{AuthOptions, Verifier};
use shop_platform::settings::{self, ServerOptions, duration};
use shop_platform::{
    Bound, Broker, Clock, Database, Migrations, Service, StartError, idempotency, outbox,
    server::Shutdown,
};
use utoipa::OpenApi;

mod api;
mod books;
mod card;
mod error;
mod grpc;
mod method;
mod metrics;
mod money;
mod payment;
mod payments;
mod processor;

use api::Api;
use metrics::PaymentMetrics;
use payments::Payments;
use processor::{Latency, Processor, Simulated};

const MIGRATIONS: Migrations = &[
    ("payment methods", include_str!("../migrations/1_payment_methods.sql")),
    ("payments", include_str!("../migrations/2_payments.sql")),
    ("processor", include_str!("../migrations/3_processor.sql")),
    outbox::MIGRATION,
    idempotency::MIGRATION,
];

/// The shop's payments service: payment methods, and the payments of orders
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shop-payments", version, about)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SHOP_PAYMENTS_LISTEN", default_value = "127.0.0.1:7004")]
    pub listen: SocketAddr,
    /// Where to listen for gRPC; port 0 takes a free one.
    #[arg(long, env = "SHOP_PAYMENTS_GRPC_LISTEN", default_value = "127.0.0.1:7104")]
    pub grpc_listen: SocketAddr,
    /// The database: sqlite:FILE, postgres://..., or :memory: to forget everything on exit.
    #[arg(long, env = "SHOP_PAYMENTS_DATABASE", default_value = "sqlite:data/payments.db")]
    pub database: String,
    /// The broker: log:FILE, log::memory: for this process alone, or nats://HOST:PORT.
    #[arg(long, env = "SHOP_BROKER", default_value = "log:data/events.db")]
    pub broker: String,
    /// How long the simulated processor thinks about each operation.
    #[arg(long, env = "SHOP_PAYMENTS_PROCESSOR_LATENCY", value_parser = duration,
          default_value = "0ms")]
    pub processor_latency: Duration,
    /// How much longer it thinks about the slow test card.
    #[arg(long, env = "SHOP_PAYMENTS_PROCESSOR_SLOW", value_parser = duration,
          default_value = "2s")]
    pub processor_slow: Duration,
    #[command(flatten)]
    pub auth: AuthOptions,
    #[command(flatten)]
    pub server: ServerOptions,
}

impl settings::Options for Options {
    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn server(&self) -> &ServerOptions {
        &self.server
    }
}

/// Opens the database and the broker, and puts the service together.
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
    let database = Database::open(&options.database, MIGRATIONS).await?;
    let broker = Broker::open(&options.broker).await?;
    let registry = Registry::new();
    let metrics = PaymentMetrics::try_new(&registry)?;
    let latency = Latency { always: options.processor_latency, slow: options.processor_slow };
    let processor = Simulated::new(database.clone(), Arc::clone(&clock), latency);
    let processor: Arc<dyn Processor> = Arc::new(processor);
    let payments =
        Payments::new(database.clone(), Arc::clone(&clock), Arc::clone(&processor), metrics);
    let service_clock = Arc::clone(&clock);
    let routes = api::routes(Api { database: database.clone(), processor, verifier, clock });
    let mut service = Service::new("payments", routes, database, registry);
    service.clock = service_clock;
    service.openapi = Some(api::document::Document::openapi());
    service.grpc = Some((options.grpc_listen, grpc::serve(payments)));
    service.broker = Some(broker);
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
