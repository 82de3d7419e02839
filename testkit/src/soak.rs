//! Long scenarios against a gateway that runs: what may fail under load, and what may not.
//!
//! Each is parametric in its length, so that a test runs it in a second and `make soak` in a
//! minute, and ends in a [`Verdict`] that names every promise that was broken.

mod drain;
mod endpoint;
mod reload;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use drain::{SigtermDrain, sigterm_drain};
pub use endpoint::{KillEndpoint, kill_endpoint};
pub use reload::{ReloadStorm, StormConfiguration, reload_storm};

use crate::load::{Load, Report};
use crate::process::ProcessError;

/// How hard and how long.
#[derive(Debug, Clone, Copy)]
pub struct Intensity {
    /// Requests per second.
    pub rate: f64,
    pub connections: usize,
    pub duration: Duration,
}

/// What a scenario found.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub scenario: &'static str,
    pub report: Report,
    /// Facts worth printing, good or bad.
    pub notes: Vec<String>,
    /// Promises that were broken; none is a pass.
    pub broken: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("reload {reload} did not take effect in {within:?}: {seen}")]
    ReloadLost { reload: u32, within: Duration, seen: String },
}

impl Intensity {
    fn load(self, target: SocketAddr, path: &str) -> Load {
        Load { connections: self.connections, ..Load::get(target, path, self.rate, self.duration) }
    }
}

impl Verdict {
    fn new(scenario: &'static str, report: Report) -> Self {
        Self { scenario, report, notes: Vec::new(), broken: Vec::new() }
    }

    pub fn passed(&self) -> bool {
        self.broken.is_empty()
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    fn expect(&mut self, holds: bool, broken: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(broken());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed() { "passed" } else { "FAILED" };
        write!(out, "{}: {word}\n{}", self.scenario, self.report)?;
        for note in &self.notes {
            writeln!(out, "  {note}")?;
        }
        for broken in &self.broken {
            writeln!(out, "  broken: {broken}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
