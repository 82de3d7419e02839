//! All of the shop's services in one process: for development, for tests, for a small shop.
//!
//! The services stay apart as they are in processes of their own: they share no database, and
//! speak with each other by gRPC and events alone. This crate only starts and stops them together.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use shop_platform::auth::AuthOptions;
use shop_platform::server::{Bound, Drained, Shutdown};
use shop_platform::{Clock, StartError};
use tokio::sync::watch;
use tokio::task::JoinSet;

mod databases;
mod options;
pub mod process;

pub use options::Options;

use options::{Places, from_environment, url};

/// Where one service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    pub name: &'static str,
    pub address: SocketAddr,
    pub grpc: Option<SocketAddr>,
}

/// The services, bound: they answer as soon as `run` is polled.
pub struct Shop {
    pub services: Vec<Listening>,
    /// Serves until the shutdown resolves or a service breaks down, then stops them all.
    pub run: Pin<Box<dyn Future<Output = Ended> + Send>>,
}

/// How the shop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As asked, with so many connections cut at the end of the drain.
    Stopped { cut: usize },
    /// A service ended by itself; the others were stopped.
    Broken,
}

/// Binds all services, each with what it needs of those before it. If one cannot start, those
/// that could are stopped in good order.
pub async fn build(
    options: &Options,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Shop, StartError> {
    let (stop, _) = watch::channel(false);
    let mut services = Services { started: Vec::new(), stop };
    // Boxed: what starts five services is large, and is done once.
    match Box::pin(services.start(options, clock)).await {
        Ok(()) => Ok(services.shop(shutdown)),
        Err(error) => {
            services.stop.send_replace(true);
            for (_, bound) in services.started {
                bound.run.await;
            }
            Err(error)
        }
    }
}

/// Those that have started, and the signal that ends them all.
struct Services {
    started: Vec<(Listening, Bound)>,
    stop: watch::Sender<bool>,
}

impl Services {
    async fn start(&mut self, options: &Options, clock: Arc<dyn Clock>) -> Result<(), StartError> {
        let places = Places::try_new(options)?;
        let database = |name: &str| places.databases.of(name);
        let (broker, server) = (&places.broker, &options.server);

        let mut users: shop_users::Options = from_environment()?;
        users.listen = options.users_listen;
        users.database = database("users");
        users.broker.clone_from(broker);
        users.server = server.clone();
        let bound = shop_users::build(&users, Arc::clone(&clock), self.shutdown()).await?;
        let auth = AuthOptions {
            jwks_url: format!("{}/.well-known/jwks.json", url(bound.address)),
            issuer: users.issuer,
            audience: users.audience,
        };
        self.add("users", bound);

        let mut products: shop_products::Options = from_environment()?;
        products.listen = options.products_listen;
        products.grpc_listen = options.products_grpc_listen;
        products.database = database("products");
        products.broker.clone_from(broker);
        products.auth = auth.clone();
        products.server = server.clone();
        let bound = shop_products::build(&products, Arc::clone(&clock), self.shutdown()).await?;
        let products_url = url(bound.grpc.unwrap_or(options.products_grpc_listen));
        self.add("products", bound);

        let mut payments: shop_payments::Options = from_environment()?;
        payments.listen = options.payments_listen;
        payments.grpc_listen = options.payments_grpc_listen;
        payments.database = database("payments");
        payments.broker.clone_from(broker);
        payments.auth = auth.clone();
        payments.server = server.clone();
        let bound = shop_payments::build(&payments, Arc::clone(&clock), self.shutdown()).await?;
        let payments_url = url(bound.grpc.unwrap_or(options.payments_grpc_listen));
        self.add("payments", bound);

        let mut orders: shop_orders::Options = from_environment()?;
        orders.listen = options.orders_listen;
        orders.database = database("orders");
        orders.broker.clone_from(broker);
        orders.products_url = products_url;
        orders.payments_url = payments_url;
        orders.auth = auth.clone();
        orders.server = server.clone();
        let bound = shop_orders::build(&orders, Arc::clone(&clock), self.shutdown()).await?;
        self.add("orders", bound);

        let mut notifications: shop_notifications::Options = from_environment()?;
        notifications.listen = options.notifications_listen;
        notifications.database = database("notifications");
        notifications.broker.clone_from(broker);
        notifications.mail.clone_from(&places.mail);
        notifications.auth = auth;
        notifications.server = server.clone();
        let bound = shop_notifications::build(&notifications, clock, self.shutdown()).await?;
        self.add("notifications", bound);
        Ok(())
    }

    fn add(&mut self, name: &'static str, bound: Bound) {
        let listening = Listening { name, address: bound.address, grpc: bound.grpc };
        self.started.push((listening, bound));
    }

    /// Resolves when all are to stop, and also when nobody is left who could say so.
    fn shutdown(&self) -> Shutdown {
        let mut stop = self.stop.subscribe();
        Box::pin(async move { drop(stop.wait_for(|stop| *stop).await) })
    }

    fn shop(self, shutdown: Shutdown) -> Shop {
        let Self { started, stop } = self;
        let services = started.iter().map(|(listening, _)| *listening).collect();
        let runs = started.into_iter().map(|(listening, bound)| (listening.name, bound.run));
        let run = Box::pin(run(runs.collect(), stop, shutdown));
        Shop { services, run }
    }
}

type Run = Pin<Box<dyn Future<Output = Drained> + Send>>;

async fn run(
    runs: Vec<(&'static str, Run)>,
    stop: watch::Sender<bool>,
    mut shutdown: Shutdown,
) -> Ended {
    let mut tasks = JoinSet::new();
    for (name, run) in runs {
        tasks.spawn(async move { (name, run.await) });
    }
    let broken = tokio::select! {
        () = &mut shutdown => false,
        // One that panicked has told why by itself.
        ended = tasks.join_next() => {
            let name = ended.and_then(Result::ok).map(|(name, _)| name);
            tracing::error!(service = name, "a service ended by itself: stopping the others");
            true
        }
    };
    stop.send_replace(true);
    let (mut broken, mut cut) = (broken, 0);
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((_, drained)) => cut += drained.cut,
            Err(_) => broken = true,
        }
    }
    if broken { Ended::Broken } else { Ended::Stopped { cut } }
}

#[cfg(test)]
mod tests;
