//! One user's connections to the gateway: HTTP/1.1, kept alive, another one when two requests are
//! under way at once.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dial::Dialer;
use super::patience::Outcome;
use super::{Reply, Request};

/// How long one try may take: longer than the gateway gives any route.
const DEADLINE: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const LARGEST: usize = 4 << 20;
/// Connections that are kept.
const KEPT: usize = 4;

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("no connection: {0}")]
    NotConnected(#[source] io::Error),
    #[error("the connection was lost: {source}")]
    Lost { reused: bool, source: hyper::Error },
    #[error("the answer was cut short, or is too long: {0}")]
    Cut(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer in time")]
    TimedOut,
    #[error("the request cannot be written")]
    Unwritable,
}

impl SendError {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NotConnected(_) | Self::Unwritable => Outcome::NotConnected,
            Self::Lost { reused, .. } => Outcome::Lost { reused: *reused },
            Self::Cut(_) => Outcome::Lost { reused: false },
            Self::TimedOut => Outcome::TimedOut,
        }
    }

    /// Without addresses or other text that differs from run to run.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::NotConnected(_) => "not connected",
            Self::Lost { .. } => "connection lost",
            Self::Cut(_) => "answer cut short",
            Self::TimedOut => "timed out",
            Self::Unwritable => "unwritable",
        }
    }
}

pub(crate) struct Client {
    dialer: Arc<Dialer>,
    idle: Mutex<Vec<Connection>>,
}

impl Client {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, idle: Mutex::default() }
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// One try. Dropped before its end, it closes its connection, as a client that gives up does.
    pub(crate) async fn send(&self, request: &Request) -> Result<Reply, SendError> {
        let answered = timeout(DEADLINE, Box::pin(self.exchange(request))).await;
        answered.unwrap_or(Err(SendError::TimedOut))
    }

    async fn exchange(&self, request: &Request) -> Result<Reply, SendError> {
        let message = request.message(self.dialer.target()).ok_or(SendError::Unwritable)?;
        let mut connection = match self.take_idle().await {
            Some(connection) => connection,
            None => Connection::open(&self.dialer).await?,
        };
        let reply = connection.exchange(message).await?;
        self.keep(connection);
        Ok(reply)
    }

    /// A connection that was open when it was last looked at.
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle().pop()?;
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < KEPT && !connection.sender.is_closed() {
            idle.push(connection);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // No code that could panic halfway runs under the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves its bytes; ended with it.
    task: JoinHandle<()>,
    used: bool,
}

impl Connection {
    async fn open(dialer: &Dialer) -> Result<Self, SendError> {
        let stream = dialer.connect().await.map_err(SendError::NotConnected)?;
        let lost = |source| SendError::Lost { reused: false, source };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Whatever ends it, the request under way is told.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, task, used: false })
    }

    async fn exchange(&mut self, message: http::Request<Full<Bytes>>) -> Result<Reply, SendError> {
        let reused = std::mem::replace(&mut self.used, true);
        let response = self.sender.send_request(message).await;
        let response = response.map_err(|source| SendError::Lost { reused, source })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(SendError::Cut)?;
        Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
