//! A gateway under constant load while one fault after the other comes over it.
//!
//! A seed decides which faults come in which order and what the load asks for. Every request ends
//! in the one right answer, or in an error that the fault of the moment answers for; anything else
//! ends the run. What is left at the end is compared with what was there before.

mod closing;
mod hostile;
mod ledger;
mod load;
mod metrics;
mod names;
mod origin;
mod plan;
mod random;
mod stage;
mod strike;
mod wish;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger::Ledger;
pub use ledger::{Counts, Ending};
use load::Load;
pub use plan::Fault;
use plan::Slot;
pub use stage::Holding;
use stage::Stage;

use crate::lateness::Watch;
use crate::patience::rest;
use crate::process::ProcessError;

/// How long the load runs before anything else happens.
const WARM_UP: Duration = Duration::from_secs(2);
/// The rest of the warm-up: what takes most memory comes once before any is measured, since some
/// of it stays, such as the pages of the code that it ran.
const REHEARSED: [Fault; 5] = [
    Fault::BlackHole,
    Fault::IdleFlood,
    Fault::SlowClients,
    Fault::ReloadStorm,
    Fault::DescriptorCap,
];
/// Of each fault of the warm-up at least; a third of a slot where that is longer, for what piles
/// up while a fault lasts.
const REHEARSAL: Duration = Duration::from_millis(1500);
/// Behind each of them.
const REHEARSAL_CALM: Duration = Duration::from_millis(500);

/// A run in all that decides it.
#[derive(Debug, Clone, Copy)]
pub struct Chaos<'a> {
    pub gateway: &'a Path,
    pub seed: u64,
    /// Those that may come; `Fault::ALL` unless one is looked at alone.
    pub faults: &'a [Fault],
    /// Faults, one after the other.
    pub slots: usize,
    pub slot: Duration,
    /// After each slot.
    pub calm: Duration,
    /// Requests per second of all protocols together.
    pub rate: f64,
}

/// What a run that kept every promise has seen.
#[derive(Debug, Clone)]
pub struct Summary {
    pub seed: u64,
    pub counts: Counts,
    pub log_lines: u64,
    /// The longest time for which this side itself did not run.
    pub longest_stall: Duration,
    pub before: Holding,
    pub after: Holding,
}

/// A run that came to no good end.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}, {place}: {error}\nwhat the gateway says:\n{output}")]
pub struct Failed {
    pub seed: u64,
    pub place: String,
    pub error: ChaosError,
    pub output: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it did not come in time: {0}")]
    Late(String),
    #[error("a promise was broken: {0}")]
    Broken(String),
}

/// Runs to the end, or to the first broken promise. `tell` is given a line now and then.
pub async fn chaos(run: Chaos<'_>, tell: &mut dyn FnMut(String)) -> Result<Summary, Box<Failed>> {
    tell(format!("seed {}: {} slots of {:?}", run.seed, run.slots, run.slot));
    let ledger = Arc::new(Ledger::new());
    let _watch = Watch::start(&ledger.lateness);
    let mut place = "the start".to_owned();
    let failed = |place: &str, error, output| {
        Box::new(Failed { seed: run.seed, place: place.to_owned(), error, output })
    };
    let mut stage = match Stage::set(run.gateway, &ledger).await {
        Ok(stage) => stage,
        Err(error) => return Err(failed(&place, error, String::new())),
    };
    let played = play(&run, &mut stage, &ledger, &mut place, tell).await;
    match played {
        Ok(summary) => Ok(summary),
        Err(error) => {
            // What is being written about it is written by then.
            rest(Duration::from_secs(1)).await;
            let mut output = closing::mentions(&stage, &error.to_string());
            let lines = stage.process.lines();
            output.extend_from_slice(&lines[lines.len().saturating_sub(15)..]);
            Err(failed(&place, error, output.join("\n")))
        }
    }
}

async fn play(
    run: &Chaos<'_>,
    stage: &mut Stage,
    ledger: &Arc<Ledger>,
    place: &mut String,
    tell: &mut dyn FnMut(String),
) -> Result<Summary, ChaosError> {
    let possible = |fault: &Fault| *fault != Fault::NameServerLost || stage.names.is_some();
    let faults: Vec<Fault> = run.faults.iter().copied().filter(possible).collect();
    if stage.names.is_none() {
        tell("without a name server: this machine gives no right to be one".to_owned());
    }
    "the warm-up".clone_into(place);
    let load = Load::start("warm", run.seed, run.rate, &stage.doors, ledger);
    unless_broken(ledger, rest(WARM_UP)).await?;
    let lasts = REHEARSAL.max(run.slot / 3);
    for fault in REHEARSED {
        *place = format!("the warm-up, {}", fault.name());
        let slot = Slot::rehearsed(run.seed, fault);
        let _ = play_slot(stage, ledger, &slot, (lasts, REHEARSAL_CALM)).await?;
    }
    unless_broken(ledger, load.finish()).await?;
    let before = stage.at_rest().await?;
    tell(format!("warm-up: {}", Line { counts: &ledger.counts(), holding: before }));
    let load = Load::start("load", run.seed, run.rate, &stage.doors, ledger);
    for slot in plan::slots(run.seed, &faults, run.slots) {
        *place = format!("slot {}, {}", slot.number, slot.title());
        let counts = play_slot(stage, ledger, &slot, (run.slot, run.calm)).await?;
        let line = Line { counts: &counts, holding: stage.holding()? };
        tell(format!("{:>2}/{} {}: {line}", slot.number, run.slots, slot.title()));
        bites(&slot, &counts)?;
        closing::quiet(stage)?;
    }
    "the end".clone_into(place);
    unless_broken(ledger, load.finish()).await?;
    let after = stage.at_rest().await?;
    let metrics = stage.metrics().await?;
    let counts = ledger.counts();
    tell(format!("at rest: {}", Line { counts: &counts, holding: after }));
    closing::compare(before, after)?;
    let log_lines = closing::settle(stage, ledger, &metrics).await?;
    // What ended last may have broken something, too.
    unless_broken(ledger, std::future::ready(())).await?;
    let longest_stall = ledger.lateness.longest();
    Ok(Summary { seed: run.seed, counts, log_lines, longest_stall, before, after })
}

async fn play_slot(
    stage: &mut Stage,
    ledger: &Arc<Ledger>,
    slot: &Slot,
    (lasts, calm): (Duration, Duration),
) -> Result<Counts, ChaosError> {
    let before = ledger.counts();
    ledger.open_window(slot.fault, slot.fault.is_upstream().then_some(slot.target));
    unless_broken(ledger, strike::strike(stage, slot, lasts)).await??;
    ledger.close_window();
    unless_broken(ledger, rest(calm)).await?;
    Ok(ledger.counts().since(&before))
}

/// A fault that nobody noticed would show nothing.
fn bites(slot: &Slot, counts: &Counts) -> Result<(), ChaosError> {
    let felt = slot.fault.is_upstream() && (slot.all || slot.fault != Fault::UpstreamAway);
    if felt && counts.ended() == counts.right() {
        return Err(ChaosError::Broken("the fault had no effect on anybody".to_owned()));
    }
    Ok(())
}

/// What this gives, or the promise that was broken meanwhile.
async fn unless_broken<T>(ledger: &Ledger, work: impl Future<Output = T>) -> Result<T, ChaosError> {
    tokio::select! {
        biased;
        text = ledger.violation() => Err(ChaosError::Broken(text)),
        done = work => Ok(done),
    }
}

/// Figures in one line.
struct Line<'a> {
    counts: &'a Counts,
    holding: Holding,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holding { memory, descriptors } = self.holding;
        write!(
            out,
            "sent {}, right {}, declared errors: {}, excused {}; {}.{} MiB, {descriptors} descriptors",
            self.counts.sent,
            self.counts.right(),
            self.counts.errors(),
            self.counts.excused,
            memory >> 20,
            ((memory % (1 << 20)) * 10) >> 20,
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, counts, log_lines, longest_stall, .. } = self;
        let (sent, right) = (counts.sent, counts.right());
        writeln!(out, "{sent} requests: {right} right, declared errors: {}", counts.errors())?;
        let excused = counts.excused;
        writeln!(
            out,
            "the run itself was late by {longest_stall:?} at most; by that, {excused} deadlines are excused"
        )?;
        writeln!(out, "{log_lines} records in the log, {:?} after {:?}", self.after, self.before)?;
        write!(out, "seed {seed}: every promise was kept")
    }
}
