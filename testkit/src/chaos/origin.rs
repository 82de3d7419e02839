//! Origins that do right until they are told to do wrong, and that notice what comes twice.

mod http1;
mod http2;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ledger::Ledger;
use crate::process::free_address;

/// Ids that are remembered; more requests than a run of ten minutes sends.
const REMEMBERED: usize = 1_000_000;

/// What becomes of a request that an origin has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Well,
    Reset,
    BlackHole,
    Truncate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

/// A connection of either kind.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// An origin at one address for the whole run, whether or not it is there.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    speaks: Speaks,
    tls: Option<TlsAcceptor>,
    mode: watch::Sender<Mode>,
    witness: Arc<Witness>,
    task: Option<JoinHandle<()>>,
}

/// Sees to it that no request reaches any origin twice.
#[derive(Debug)]
pub(super) struct Witness {
    seen: Mutex<HashSet<String>>,
    ledger: Arc<Ledger>,
}

impl Witness {
    pub(super) fn new(ledger: &Arc<Ledger>) -> Arc<Self> {
        Arc::new(Self { seen: Mutex::default(), ledger: Arc::clone(ledger) })
    }

    fn see(&self, id: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < REMEMBERED && !seen.insert(id.to_owned()) {
            self.ledger.violate(format!("{id} reached an origin twice"));
        }
    }
}

impl Origin {
    /// `tls` is what it shows and agrees to speak.
    pub(super) async fn start(
        speaks: Speaks,
        tls: Option<Arc<ServerConfig>>,
        witness: &Arc<Witness>,
    ) -> io::Result<Self> {
        let mut origin = Self {
            address: free_address()?,
            speaks,
            tls: tls.map(TlsAcceptor::from),
            mode: watch::Sender::new(Mode::Well),
            witness: Arc::clone(witness),
            task: None,
        };
        origin.come_back().await?;
        Ok(origin)
    }

    pub(super) fn turn(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends as a killed process does: the port is refused, every connection is reset.
    pub(super) async fn go_away(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // It was told to end; that it did is what is waited for.
            let _ = task.await;
        }
    }

    pub(super) async fn come_back(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        let (speaks, mode, tls) = (self.speaks, self.mode.subscribe(), self.tls.clone());
        let witness = Arc::clone(&self.witness);
        self.task = Some(tokio::spawn(async move {
            // Connections end with the set, and the set with the task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (mode, witness) = (mode.clone(), Arc::clone(&witness));
                // It costs time and nothing else where it fails.
                let _ = stream.set_nodelay(true);
                match tls.clone() {
                    None => connections.spawn(serve(stream, speaks, mode, witness)),
                    Some(tls) => connections.spawn(async move {
                        // A handshake that fails is seen by the proxy.
                        if let Ok(stream) = tls.accept(stream).await {
                            Box::pin(serve(stream, speaks, mode, witness)).await;
                        }
                    }),
                };
            }
        }));
        Ok(())
    }
}

async fn serve(
    stream: impl Wire,
    speaks: Speaks,
    mode: watch::Receiver<Mode>,
    witness: Arc<Witness>,
) {
    match speaks {
        Speaks::Http1 => http1::serve(stream, mode, witness).await,
        Speaks::Http2 => http2::serve(stream, mode, witness).await,
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
