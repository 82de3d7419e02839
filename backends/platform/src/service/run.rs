//! A service from its first request to its last.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::background::Background;
use crate::broker::Broker;
use crate::database::Database;
use crate::server::{Drained, Listening, Shutdown, stopped};

/// What remains for the consumers and the outbox when requests took all of the drain.
const LAST_GRACE: Duration = Duration::from_secs(1);

pub(super) struct Running {
    pub(super) name: &'static str,
    pub(super) http: Listening,
    pub(super) grpc: Option<Listening>,
    pub(super) background: Background,
    pub(super) broker: Option<Broker>,
    pub(super) database: Database,
    pub(super) drain: Duration,
}

impl Running {
    pub(super) async fn run(self, shutdown: Shutdown) -> Drained {
        let Self { name, http, grpc, background, broker, database, drain } = self;
        let grpc_address = grpc.as_ref().map(|grpc| tracing::field::display(grpc.address));
        tracing::info!(service = name, address = %http.address, grpc_address, "serving");
        let mut background = background.start();
        let (stop, _) = watch::channel(false);
        let signal = || -> Shutdown {
            let mut stop = stop.subscribe();
            Box::pin(async move { stopped(&mut stop).await })
        };
        let servers = both(http.run(signal()), grpc.map(|grpc| grpc.run(signal())));
        let begin = async {
            shutdown.await;
            stop.send_replace(true);
            Instant::now() + drain
        };
        let (deadline, drained) = tokio::select! {
            ended = async { tokio::join!(begin, servers) } => ended,
            never = background.watch() => match never {},
        };
        background.stop(deadline.max(Instant::now() + LAST_GRACE)).await;
        if let Some(broker) = broker {
            broker.close().await;
        }
        database.close().await;
        tracing::info!(service = name, cut = drained.cut, "stopped");
        drained
    }
}

async fn both(
    http: impl Future<Output = Drained>,
    grpc: Option<impl Future<Output = Drained>>,
) -> Drained {
    let grpc = async {
        match grpc {
            Some(grpc) => grpc.await.cut,
            None => 0,
        }
    };
    let (http, grpc) = tokio::join!(http, grpc);
    Drained { cut: http.cut + grpc }
}
