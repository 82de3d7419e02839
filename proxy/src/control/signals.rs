//! The signals that the process handles.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// A second signal within this time counts as the same request: `timeout` and some supervisors
/// signal the process and then its group.
const ECHO: Duration = Duration::from_millis(500);

/// Installed before the first socket listens: a supervisor may send a signal once the port is open,
/// and an unhandled signal would end the process.
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

    /// SIGTERM or SIGINT.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// A further SIGTERM or SIGINT, which ends the drain early. `first` is when the first one came.
    /// After a drain by other means, the first signal only confirms the drain.
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
