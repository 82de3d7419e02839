//! One row, measured: all engines resident, slices of load in random order.
//!
//! The machine drifts more than the engines differ, so every round gives each contestant one slice
//! and only ratios within a round are compared. Engines are started anew every few rounds. Cost is
//! the scheduler's run time of the engine's threads for each request that the generator completed:
//! it holds whatever the generator's speed.

use std::path::Path;
use std::time::Duration;

use crate::contest::Contest;
use crate::engines::{Engine, start_origin};
use crate::live::Scene;
use crate::results::{Figures, Outcome};
use crate::row::{Contestant, Row};
use crate::verdict::{judge, ratio};

/// How long and how thoroughly a row is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) slice: Duration,
    pub(crate) warming: usize,
    pub(crate) counted: bool,
    /// Whether it is too short for any verdict.
    pub(crate) quick: bool,
}

/// Rounds that one process of an engine lives: where it came to lie in memory and in the caches
/// favours or harms it by some percent for as long as it runs.
const ROUNDS_OF_A_PROCESS: usize = 5;

/// `tell` hears of every round.
pub(crate) fn measure(
    row: &Row,
    contestants: &[Contestant],
    pace: Pace,
    base: &Path,
    mut tell: impl FnMut(usize, &str),
) -> anyhow::Result<Outcome> {
    let origin = start_origin(row.setting, base)?;
    let load = match reference(contestants).filter(|_| row.load.wants_a_capacity()) {
        None => row.load,
        Some(reference) => {
            let (engine, setting) =
                (Engine::find(reference.engine)?, reference.setting(row.setting));
            let running = engine.start(origin.upstreams(), setting, base, &[])?;
            row.load.below_the_capacity_of(&running)?
        }
    };
    let scene = Scene { load, slice: pace.slice, origin: &origin, base, warming: pace.warming };
    let mut contest = Contest::start(row, contestants, &scene)?;
    for round in 1..=pace.rounds {
        let anew = round > 1 && (round - 1) % ROUNDS_OF_A_PROCESS == 0;
        if anew && !row.load.wants_a_new_process() {
            contest.start_anew(&scene)?;
        }
        let line = contest.round(&scene)?;
        tell(round, &line);
    }
    let mut figures = contest.figures(&scene, pace.counted && row.counted)?;
    beside_the_first(&mut figures);
    Ok(Outcome {
        name: row.name.to_owned(),
        group: row.group.to_owned(),
        title: row.title.to_owned(),
        unit: row.unit.to_owned(),
        rounds: pace.rounds,
        verdicts: judge(row, &figures, pace.quick),
        contestants: figures,
        notes: Vec::new(),
        warnings: contest.warnings(row.load.is_closed()),
    })
}

/// Whose capacity decides how much all are asked, where the load is a share of it. Without it there
/// is no row.
fn reference(contestants: &[Contestant]) -> Option<&Contestant> {
    let haproxy = contestants.iter().find(|contestant| contestant.engine == "haproxy");
    haproxy.or(contestants.first())
}

fn beside_the_first(figures: &mut [Figures]) {
    let Some(first) = figures.first().cloned() else { return };
    for other in figures.iter_mut().skip(1) {
        other.to_first = Some(ratio(other, &first));
    }
}
