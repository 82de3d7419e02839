//! Connections: accepted up to a limit, cut when they dawdle, drained when the service stops.
//!
//! axum's own `serve` bounds neither the connections, nor a slow head, nor the drain; tonic's
//! bounds neither the connections nor the drain.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::broker::BrokerError;
use crate::database::DatabaseError;
use crate::settings::ServerOptions;

mod protocol;

pub(crate) use protocol::Protocol;

/// How long to wait when the process has no descriptor left to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Resolves when the service shall stop.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A service that listens already and answers as soon as `run` is polled.
pub struct Bound {
    /// Where it listens: the kernel's choice if port 0 was asked for.
    pub address: SocketAddr,
    /// Where it listens for gRPC, if it does.
    pub grpc: Option<SocketAddr>,
    /// Serves until the shutdown resolves, then drains.
    pub run: Pin<Box<dyn Future<Output = Drained> + Send>>,
}

/// How a service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because they outlasted the drain.
    pub cut: usize,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("--{option}: {reason}")]
    Option { option: &'static str, reason: &'static str },
    /// What a service needs of its own, such as its signing keys.
    #[error("cannot prepare {what}: {source}")]
    Prepare { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the migrations lack the platform's {0:?}")]
    Migration(&'static str),
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
}

impl StartError {
    /// Whether the command line is at fault, rather than the world around it.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Option { .. }
            | Self::Database(DatabaseError::Url(_))
            | Self::Broker(BrokerError::Url(_)) => true,
            Self::Listen { .. }
            | Self::Database(_)
            | Self::Broker(_)
            | Self::Prepare { .. }
            | Self::Migration(_)
            | Self::Metrics(_)
            | Self::Runtime(_) => false,
        }
    }
}

/// Resolves when `stop` becomes true, or nobody is left to make it so.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// A socket that connections queue at already.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    server: Server,
    drain: Duration,
}

/// Binds `listen`; connections are served once [`Listening::run`] is polled.
pub(crate) async fn listen(
    app: Router,
    protocol: Protocol,
    listen: SocketAddr,
    options: &ServerOptions,
) -> Result<Listening, StartError> {
    let failed = |source| StartError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let slots = Arc::new(Semaphore::new(options.max_connections as usize));
    let (stop, _) = watch::channel(());
    let server = Server { app, protocol, slots, stop, connections: JoinSet::new() };
    Ok(Listening { address, listener, server, drain: options.drain_timeout })
}

impl Listening {
    /// Serves until `shutdown` resolves, then drains.
    pub(crate) async fn run(self, shutdown: Shutdown) -> Drained {
        self.server.run(self.listener, shutdown, self.drain).await
    }
}

struct Server {
    app: Router,
    protocol: Protocol,
    slots: Arc<Semaphore>,
    stop: watch::Sender<()>,
    connections: JoinSet<()>,
}

impl Server {
    async fn run(
        mut self,
        listener: TcpListener,
        mut shutdown: Shutdown,
        drain: Duration,
    ) -> Drained {
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = self.connections.join_next() => {}
                (permit, accepted) = accept(&self.slots, &listener) => match accepted {
                    Ok((stream, _)) => self.spawn(stream, permit),
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        tracing::info!(connections = self.connections.len(), "draining");
        // Whoever completed the handshake before the socket closes would be reset: serve them too.
        let now = Duration::ZERO;
        while let Ok((permit, Ok((stream, _)))) =
            tokio::time::timeout(now, accept(&self.slots, &listener)).await
        {
            self.spawn(stream, permit);
        }
        drop(listener);
        self.stop.send_replace(());
        let drained = async { while self.connections.join_next().await.is_some() {} };
        // The timeout says no more than what is still in the set.
        drop(tokio::time::timeout(drain, drained).await);
        let cut = self.connections.len();
        self.connections.shutdown().await;
        if cut > 0 {
            tracing::warn!(cut, "connections outlasted the drain");
        }
        Drained { cut }
    }

    fn spawn(&mut self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // A small answer must not wait for the peer's acknowledgement; without it all still works.
        drop(stream.set_nodelay(true));
        let service = TowerToHyperService::new(self.app.clone());
        let connection = self.protocol.serve(TokioIo::new(stream), service);
        let mut stopping = self.stop.subscribe();
        self.connections.spawn(async move {
            let _permit = permit;
            let mut connection = pin!(connection);
            // The connection first: a request that has arrived is read before the stop is seen.
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                _ = stopping.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
}

/// Waits for a free slot first, so that what cannot be served stays in the kernel's queue.
async fn accept(
    slots: &Arc<Semaphore>,
    listener: &TcpListener,
) -> (OwnedSemaphorePermit, std::io::Result<(TcpStream, SocketAddr)>) {
    match Arc::clone(slots).acquire_owned().await {
        Ok(permit) => (permit, listener.accept().await),
        // The semaphore is never closed.
        Err(_) => std::future::pending().await,
    }
}
