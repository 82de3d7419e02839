//! The shop's orders: an event-sourced aggregate, and the saga that buys what was ordered.
//!
//! An order is what has happened to it ([`order`], [`store`]); what is asked for often is kept in a
//! read model ([`view`]). The saga ([`saga`], [`sagas`], [`driver`]) brings stock and money together
//! over gRPC ([`ports`]), and takes everything back if one of them cannot be had.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use shop_platform::auth::{AuthOptions, Verifier};
use shop_platform::broker::Broker;
use shop_platform::consumer::{self, Consumer};
use shop_platform::server::Shutdown;
use shop_platform::service::Task;
use shop_platform::settings::{self, ServerOptions, duration};
use shop_platform::{
    Bound, Clock, Database, Migrations, Service, StartError, grpc, idempotency, outbox,
};
use tokio::sync::Notify;

mod api;
mod driver;
mod error;
mod events;
mod lines;
mod metrics;
mod order;
mod orders;
mod payments;
mod ports;
mod prefer;
mod rebuild;
mod saga;
mod sagas;
mod store;
mod view;
mod waiting;

use driver::{Driver, DriverOptions};
use metrics::OrderMetrics;
use orders::Orders;
use payments::PaymentEvents;
use ports::{GrpcInventory, GrpcPayments, Inventory, Payments};
use waiting::Waiting;

const MIGRATIONS: Migrations = &[
    ("orders", include_str!("../migrations/1_orders.sql")),
    ("view", include_str!("../migrations/2_view.sql")),
    ("sagas", include_str!("../migrations/3_sagas.sql")),
    outbox::MIGRATION,
    consumer::MIGRATION,
    idempotency::MIGRATION,
];

/// Stock is held for a little longer than a saga may take, and for a day at most.
const LONGEST_SAGA: Duration = Duration::from_secs(12 * 3600);
/// A request waits for an order's end no longer, whatever it prefers.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What is left of a request's time for all but the wait.
const WAIT_MARGIN: Duration = Duration::from_millis(500);

/// The shop's orders service: places orders and sees them through
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shop-orders", version, about)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SHOP_ORDERS_LISTEN", default_value = "127.0.0.1:7003")]
    pub listen: SocketAddr,
    /// The database: sqlite:FILE, :memory: to forget everything on exit, or a postgres:// URL.
    #[arg(long, env = "SHOP_ORDERS_DATABASE", default_value = "sqlite:data/orders.db")]
    pub database: String,
    /// The broker: log:FILE or nats://HOST:PORT.
    #[arg(long, env = "SHOP_BROKER", default_value = "log:data/events.db")]
    pub broker: String,
    /// Where the products service answers gRPC.
    #[arg(long, env = "SHOP_ORDERS_PRODUCTS_URL", default_value = "http://127.0.0.1:7102")]
    pub products_url: String,
    /// Where the payments service answers gRPC.
    #[arg(long, env = "SHOP_ORDERS_PAYMENTS_URL", default_value = "http://127.0.0.1:7104")]
    pub payments_url: String,
    /// How long one call of a saga waits for its answer.
    #[arg(long, env = "SHOP_ORDERS_CALL_TIMEOUT", value_parser = duration, default_value = "2s")]
    pub call_timeout: Duration,
    /// How long an order is tried to be fulfilled before it is cancelled.
    #[arg(long, env = "SHOP_ORDERS_SAGA_DEADLINE", value_parser = duration, default_value = "60s")]
    pub saga_deadline: Duration,
    /// How long a saga is held for one step: after a crash it rests for as long. Twice the call
    /// timeout at least.
    #[arg(long, env = "SHOP_ORDERS_SAGA_LEASE", value_parser = duration, default_value = "5s")]
    pub saga_lease: Duration,
    /// Sagas that are driven at once.
    #[arg(long, env = "SHOP_ORDERS_SAGA_CONCURRENCY", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub saga_concurrency: u32,
    /// Makes the read model anew from the events before serving.
    #[arg(long, env = "SHOP_ORDERS_REBUILD_READ_MODEL")]
    pub rebuild_read_model: bool,
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

/// The other services, and who may call this one.
struct Neighbours {
    inventory: Arc<dyn Inventory>,
    payments: Arc<dyn Payments>,
    verifier: Verifier,
}

/// The service in parts, each of which can run by itself.
struct Parts {
    orders: Arc<Orders>,
    driver: Arc<Driver>,
    registry: Registry,
}

/// The service, but for its broker. Opens the database and brings the read model up to date.
async fn prepare(options: &Options, clock: Arc<dyn Clock>) -> Result<Service, StartError> {
    let database = Database::open(&options.database, MIGRATIONS).await?;
    if options.rebuild_read_model {
        let failed =
            |error| StartError::Prepare { what: "the read model", source: Box::new(error) };
        let orders = rebuild::rebuild(&database).await.map_err(failed)?;
        tracing::info!(orders, "the read model was made anew");
    }
    let (failpoints, deadline) = (database.failpoints().clone(), options.call_timeout);
    let products = grpc::channel(&options.products_url)?;
    let payments = grpc::channel(&options.payments_url)?;
    let neighbours = Neighbours {
        inventory: Arc::new(GrpcInventory::new(products, failpoints.clone(), deadline)),
        payments: Arc::new(GrpcPayments::new(payments, failpoints, deadline)),
        verifier: Verifier::try_new(&options.auth, Arc::clone(&clock))?,
    };
    Ok(service(assemble(options, database, neighbours, clock)?))
}

fn assemble(
    options: &Options,
    database: Database,
    neighbours: Neighbours,
    clock: Arc<dyn Clock>,
) -> Result<Parts, StartError> {
    if options.saga_deadline > LONGEST_SAGA {
        let reason = "must be at most 12h, since stock is held no longer than a day";
        return Err(StartError::Option { option: "saga-deadline", reason });
    }
    if options.saga_lease < options.call_timeout * 2 {
        let reason = "must be at least twice --call-timeout";
        return Err(StartError::Option { option: "saga-lease", reason });
    }
    let registry = Registry::new();
    let metrics = OrderMetrics::try_new(&registry)?;
    let Neighbours { inventory, payments, verifier } = neighbours;
    let (due, waiting) = (Arc::new(Notify::new()), Arc::new(Waiting::default()));
    let orders = Orders {
        database: database.clone(),
        inventory: Arc::clone(&inventory),
        clock: Arc::clone(&clock),
        verifier,
        due: Arc::clone(&due),
        waiting: Arc::clone(&waiting),
        metrics: metrics.clone(),
        saga_deadline: options.saga_deadline,
        longest_wait: options.server.request_timeout.saturating_sub(WAIT_MARGIN).min(LONGEST_WAIT),
    };
    let driver_options =
        DriverOptions { concurrency: options.saga_concurrency as usize, lease: options.saga_lease };
    let driver = Driver {
        database,
        inventory,
        payments,
        clock,
        due,
        waiting,
        metrics,
        options: driver_options,
    };
    Ok(Parts { orders: Arc::new(orders), driver: Arc::new(driver), registry })
}

fn service(parts: Parts) -> Service {
    let Parts { orders, driver, registry } = parts;
    let database = orders.database.clone();
    let (clock, due) = (Arc::clone(&orders.clock), Arc::clone(&orders.due));
    let events = PaymentEvents { clock: Arc::clone(&clock), due };
    let mut service = Service::new("orders", api::routes(orders), database, registry);
    service.clock = clock;
    service.openapi = Some(api::openapi());
    service.consumers =
        vec![Consumer { group: "orders", kinds: payments::KINDS, handler: Arc::new(events) }];
    service.tasks = vec![Task { name: "sagas", run: Box::pin(driver.run()) }];
    service
}

/// Listens; polling [`Bound::run`] serves and drives the sagas until `shutdown` resolves.
pub async fn build(
    options: &Options,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Bound, StartError> {
    let mut service = prepare(options, clock).await?;
    service.broker = Some(Broker::open(&options.broker).await?);
    service.bind(options.listen, &options.server, shutdown).await
}

#[cfg(test)]
mod tests;
