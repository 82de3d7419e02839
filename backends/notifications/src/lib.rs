//! The shop's notifications: what customers are told, by letter and live.
//!
//! It hears of accounts, orders and payments by their events alone. Each that concerns a customer
//! becomes one message, which is sent as a letter, shown by the API and told to open feeds.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use shop_platform::auth::{AuthOptions, Verifier};
use shop_platform::server::{Drained, Shutdown};
use shop_platform::settings::{self, ServerOptions};
use shop_platform::{
    Bound, Broker, Clock, Database, Migrations, Service, StartError, Task, consumer, idempotency,
};
use tokio::sync::Notify;

mod api;
mod error;
mod events;
mod failures;
mod feed;
mod line;
mod mail;
mod messages;
mod metrics;
mod notice;
mod notification;
mod openapi;
mod outbox;
mod sender;
mod state;
mod text;

use events::Events;
use feed::seats::Seats;
use feed::session::Heartbeat;
use mail::Mailer;
use messages::Messages;
use metrics::NotificationMetrics;
use outbox::Outbox;
use sender::Sender;
use state::{App, Notifications};

const MIGRATIONS: Migrations = &[
    ("notifications", include_str!("../migrations/1_notifications.sql")),
    consumer::MIGRATION,
    idempotency::MIGRATION,
];

/// The shop's notifications service: letters and a live feed
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shop-notifications", version, about)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SHOP_NOTIFICATIONS_LISTEN", default_value = "127.0.0.1:7005")]
    pub listen: SocketAddr,
    /// The database: sqlite:FILE, postgres://..., or :memory: to forget everything on exit.
    #[arg(
        long,
        env = "SHOP_NOTIFICATIONS_DATABASE",
        default_value = "sqlite:data/notifications.db"
    )]
    pub database: String,
    /// Where events come from: log:FILE or nats://HOST:PORT.
    #[arg(long, env = "SHOP_BROKER", default_value = "log:data/events.db")]
    pub broker: String,
    /// Where letters go: file:DIRECTORY, one file each, or smtp://HOST:PORT.
    #[arg(long, env = "SHOP_NOTIFICATIONS_MAIL", default_value = "file:data/mail")]
    pub mail: String,
    /// Whom letters are from.
    #[arg(long, env = "SHOP_NOTIFICATIONS_MAIL_FROM", default_value = "shop@shop.example")]
    pub mail_from: String,
    /// Live feeds open at once; an account may have 10 of them.
    #[arg(long, env = "SHOP_NOTIFICATIONS_MAX_FEEDS", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_feeds: u32,
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

/// The service before it has a socket: its routes, and the audience that must go before it ends.
struct Prepared {
    service: Service,
    seats: Arc<Seats>,
}

/// What tests put in the place of the world's.
struct Parts {
    clock: Arc<dyn Clock>,
    verifier: Verifier,
    broker: Broker,
    heartbeat: Heartbeat,
}

/// Listens; polling [`Bound::run`] serves, consumes and sends until `shutdown` resolves.
pub async fn build(
    options: &Options,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Bound, StartError> {
    bind(open(options, clock).await?, options, shutdown).await
}

/// Opens the database and the broker, and mounts the routes.
async fn open(options: &Options, clock: Arc<dyn Clock>) -> Result<Prepared, StartError> {
    let parts = Parts {
        verifier: Verifier::try_new(&options.auth, Arc::clone(&clock))?,
        broker: Broker::open(&options.broker).await?,
        heartbeat: Heartbeat::default(),
        clock,
    };
    assemble(options, parts).await
}

async fn assemble(options: &Options, parts: Parts) -> Result<Prepared, StartError> {
    let Parts { clock, verifier, broker, heartbeat } = parts;
    let mailer = Mailer::try_new(&options.mail, &options.mail_from)?;
    let database = Database::open(&options.database, MIGRATIONS).await?;
    let registry = Registry::new();
    let metrics = NotificationMetrics::try_new(&registry)?;
    let messages = Messages::new(database.clone());
    let seats = Arc::new(Seats::new(options.max_feeds as usize, metrics.feeds().clone()));
    let added = Arc::new(Notify::new());
    let events =
        Events { seats: Arc::clone(&seats), added: Arc::clone(&added), clock: Arc::clone(&clock) };
    let sender = Sender {
        outbox: Outbox::new(database.clone()),
        mailer,
        failpoints: database.failpoints().clone(),
        metrics: metrics.clone(),
        clock: Arc::clone(&clock),
        added,
    };
    let inbox_clock = Arc::clone(&clock);
    let news = feed::news::spread(Arc::clone(&seats), messages.clone());
    let app = App(Arc::new(Notifications {
        database: database.clone(),
        messages,
        seats: Arc::clone(&seats),
        verifier,
        heartbeat,
        metrics,
        clock,
    }));
    let mut service = Service::new("notifications", api::routes(app), database, registry);
    service.clock = inbox_clock;
    service.openapi = Some(openapi::document());
    service.broker = Some(broker);
    service.consumers = vec![events.consumer()];
    service.tasks = vec![
        Task { name: "letters", run: Box::pin(sender.run()) },
        Task { name: "news", run: Box::pin(news) },
    ];
    Ok(Prepared { service, seats })
}

/// A feed has left its connection's task, so the server's own drain does not see it: the audience
/// is asked to leave by the same signal, and gets the same time.
async fn bind(
    prepared: Prepared,
    options: &Options,
    shutdown: Shutdown,
) -> Result<Bound, StartError> {
    let Prepared { service, seats } = prepared;
    let asked = Arc::clone(&seats);
    let shutdown = Box::pin(async move {
        shutdown.await;
        asked.stop();
    });
    let mut bound = service.bind(options.listen, &options.server, shutdown).await?;
    let (served, drain) = (bound.run, options.server.drain_timeout);
    bound.run = Box::pin(async move {
        let feeds = async {
            seats.stopped().await;
            // The timeout says no more than how many are still there.
            drop(tokio::time::timeout(drain, seats.at_most(0)).await);
            seats.taken()
        };
        let (drained, cut) = tokio::join!(served, feeds);
        Drained { cut: drained.cut + cut }
    });
    Ok(bound)
}

#[cfg(test)]
mod tests;
