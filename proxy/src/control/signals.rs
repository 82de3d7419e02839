//! The signals that a process obeys.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// A signal that follows another one so soon is the same wish: `timeout` and some supervisors
/// signal the process and then its group.
const ECHO: Duration = Duration::from_millis(500);

/// Installed before the first socket listens: whoever sees the port open may send a signal, and
/// one that nobody handles would end the process.
pub struct Signals {
    pub hangup: Signal,
    pub reopen: Signal,
    pub terminate: Signal,
    pub interrupt: Signal,
}

impl Signals {
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Either of the two that ask for the end.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// One of them again, from somebody who has lost patience. `first` is when the end was asked
    /// for by a signal; after a drain by other means the first signal asks for no more than that.
    pub async fn end_now(&mut self, first: Option<Instant>) {
        let mut first = first;
        loop {
            self.end().await;
            match first {
                Some(first) if first.elapsed() >= ECHO => return,
                Some(_) => {}
                None => first = Some(Instant::now()),
            }
        }
    }
}
