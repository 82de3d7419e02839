//! Customers of the real shop: the program `shop-simulator`, and what it says.
//!
//! They browse, search, order, pay, cancel, complain and follow a live feed; behind them the shop's
//! books are checked against what they did. The same seed draws the same customers, for every
//! engine and every round. It knows the program by its flags and its JSON alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{Slice, generator};
use crate::engines::shop::{SECRET, SECRET_VARIABLE, SIMULATOR};
use crate::engines::{Running, program};

/// Who comes, and how much they buy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Customers {
    /// At once.
    pub(crate) count: u32,
    /// By all of them together.
    pub(crate) orders: u32,
    pub(crate) seed: u64,
}

/// How long the shop may take, once the last customer has gone, until everything is at its end.
const SETTLE: Duration = Duration::from_secs(30);
/// Customers who stay longer than that, audit included, are ended.
const LONGEST: Duration = Duration::from_secs(120);
/// What is quoted of anything that should not be.
const QUOTED: usize = 3;
/// What a slice takes of a machine that does nothing else.
pub(super) const ABOUT_SECONDS: u64 = 5;

/// The shop lost count of something: whichever engine stood before it, no figure of the row is
/// worth anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unbalanced(pub(crate) String);

impl fmt::Display for Unbalanced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the shop's books do not balance: {}", self.0)
    }
}

impl std::error::Error for Unbalanced {}

/// The figure is the engine's processor time for each request, those of the audit included.
pub(super) fn run(customers: &Customers, engine: &Running) -> anyhow::Result<Slice> {
    let file = engine.directory.join("simulator.json");
    // What an earlier slice found is not to be taken for what this one did.
    let _ = std::fs::remove_file(&file);
    let mut simulator = generator("setpriv", engine.setting.cores);
    // The kernel ends it with the suite, and `timeout` if it does not end.
    simulator
        .args(["--pdeathsig", "TERM", "timeout", "--kill-after", "5s"])
        .arg(format!("{}s", LONGEST.as_secs()))
        .arg(program(SIMULATOR)?)
        .args(["--url", &engine.url("/")])
        .args(["--customers", &customers.count.to_string()])
        .args(["--orders", &customers.orders.to_string()])
        .args(["--seed", &customers.seed.to_string()])
        .args(["--settle", &format!("{}s", SETTLE.as_secs())])
        .arg("--json")
        .arg(&file)
        .env(SECRET_VARIABLE, SECRET);
    let start = Instant::now();
    let output = simulator.output().context(SIMULATOR)?;
    let lasted = start.elapsed();
    let said = || {
        let streams = [output.stdout.as_slice(), &output.stderr].concat();
        format!("{SIMULATOR} ({}) said:\n{}", output.status, String::from_utf8_lossy(&streams))
    };
    let summary = read(&file).with_context(said)?;
    let slice = summary.slice(customers, lasted).with_context(said)?;
    if !output.status.success() {
        bail!("{SIMULATOR} found nothing wrong and failed: {}", said());
    }
    Ok(slice)
}

fn read(file: &Path) -> anyhow::Result<Summary> {
    let text = std::fs::read(file).context("no summary was written")?;
    Ok(serde_json::from_slice(&text)?)
}

/// What matters here of the account of a run.
#[derive(Debug, Deserialize)]
struct Summary {
    clean: bool,
    requests: u64,
    calls: BTreeMap<String, Call>,
    orders: Orders,
    /// What does not balance over all.
    books: Vec<String>,
    /// What one customer was told, as by the feed, and what it did and paid for.
    visits: Vec<String>,
    /// Not everything could be read.
    unread: bool,
    /// All of them; the list may be shorter.
    found: u64,
    findings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Call {
    /// Tries that were followed by another.
    again: u64,
}

#[derive(Debug, Deserialize)]
struct Orders {
    placed: u64,
}

impl Summary {
    /// Only a clean run is worth a figure.
    fn slice(&self, customers: &Customers, lasted: Duration) -> anyhow::Result<Slice> {
        // Where some of it could not be read, sums over the rest say nothing.
        if !self.books.is_empty() && !self.unread {
            let all = self.books.len() as u64;
            return Err(Unbalanced(quoted(&self.books, all)).into());
        }
        if self.found > 0 {
            bail!("{} findings: {}", self.found, quoted(&self.findings, self.found));
        }
        if self.unread {
            bail!("the shop's books could not be read");
        }
        if !self.visits.is_empty() {
            bail!("customers miss something: {}", quoted(&self.visits, self.visits.len() as u64));
        }
        let (placed, wanted) = (self.orders.placed, u64::from(customers.orders));
        if placed != wanted {
            bail!("{placed} of {wanted} orders were placed");
        }
        if !self.clean {
            bail!("the simulator says that its run was not clean, and not why");
        }
        let again: u64 = self.calls.values().map(|call| call.again).sum();
        Ok(Slice {
            requests: self.requests + again,
            seconds: lasted.as_secs_f64(),
            errors: 0,
            figure: None,
            fell_behind: false,
        })
    }
}

/// The first of so many.
fn quoted(wrong: &[String], all: u64) -> String {
    let mut text = wrong.iter().take(QUOTED).cloned().collect::<Vec<_>>().join("; ");
    let rest = all.saturating_sub(QUOTED as u64);
    if rest > 0 {
        text.push_str(&format!("; and {rest} more"));
    }
    text
}

#[cfg(test)]
mod tests;
