//! The way to the control loop: what it may be asked, and what it last did.
//!
//! Knows nothing of how that is done.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

/// Requests of the admin API that may wait.
const REQUESTS: usize = 16;

/// What the control loop may be asked.
pub enum ControlRequest {
    Reload(oneshot::Sender<LastReload>),
    Drain,
}

/// How the others reach the control loop, and what it last did.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<ControlRequest>,
    pub last: Arc<ArcSwap<LastReload>>,
}

/// The loop is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process is ending")]
pub struct Ending;

impl Handle {
    /// A handle, and what is asked through it.
    pub(crate) fn channel(generation: u64) -> (Self, mpsc::Receiver<ControlRequest>) {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let last = LastReload { generation, ..LastReload::default() };
        (Self { requests: sender, last: Arc::new(ArcSwap::from_pointee(last)) }, requests)
    }

    pub async fn reload(&self) -> Result<LastReload, Ending> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(ControlRequest::Reload(sender)).await.map_err(|_| Ending)?;
        answer.await.map_err(|_| Ending)
    }

    pub async fn drain(&self) -> Result<(), Ending> {
        self.requests.send(ControlRequest::Drain).await.map_err(|_| Ending)
    }
}

/// What the last reload came to.
#[derive(Debug, Clone, Default)]
pub struct LastReload {
    /// The generation that serves.
    pub generation: u64,
    /// What is wrong with what was read last, rendered; empty when all of it serves.
    pub problems: String,
    /// Files whose last good version serves.
    pub stale: Vec<PathBuf>,
    /// The generation before serves on.
    pub refused: bool,
}
