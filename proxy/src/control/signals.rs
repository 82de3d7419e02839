//! The signals that a process obeys.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::server::StartError;

/// Installed before the first socket listens: whoever sees the port open may send a signal, and
/// one that nobody handles would end the process.
pub struct Signals {
    pub hangup: Signal,
    pub reopen: Signal,
    pub terminate: Signal,
    pub interrupt: Signal,
}

impl Signals {
    pub fn install() -> Result<Self, StartError> {
        let of = |kind| {
            signal(kind).map_err(|error| StartError::System { what: "a signal handler", error })
        };
        Ok(Self {
            hangup: of(SignalKind::hangup())?,
            reopen: of(SignalKind::user_defined1())?,
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    /// Either of the two that ask for the end.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
