//! One row, measured: all engines resident, slices of load in random order.
//!
//! The machine drifts more than the engines differ, so every round gives each contestant one slice
//! and only ratios within a round are compared. Engines are started anew every few rounds. Cost is
//! the scheduler's run time of the engine's threads for each request that the generator completed:
//! it holds whatever the generator's speed.

use std::path::Path;
use std::time::Duration;

use crate::counts;
use crate::engines::{Engine, start_origin};
use crate::live::{Live, Scene};
use crate::results::{Counts, Figures, Outcome};
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
            let running = engine.start(origin.address, setting, base, &[])?;
            row.load.below_the_capacity_of(&running)?
        }
    };
    let scene = Scene { load, slice: pace.slice, origin: &origin, base, warming: pace.warming };
    let mut lives = Vec::new();
    for contestant in contestants {
        lives.push(Live::start(contestant, row.setting, &scene)?);
    }
    let mut order: Vec<usize> = (0..lives.len()).collect();
    for round in 1..=pace.rounds {
        let anew = round > 1 && (round - 1) % ROUNDS_OF_A_PROCESS == 0;
        if anew && !row.load.wants_a_new_process() {
            for live in &mut lives {
                live.start_anew(&scene)?;
            }
        }
        fastrand::shuffle(&mut order);
        let mut line = String::new();
        for index in &order {
            let live = &mut lives[*index];
            let figure = live.slice(&scene)?.figure;
            line.push_str(&format!("  {} {figure:.1}", live.label));
        }
        tell(round, &line);
    }
    lives.iter_mut().for_each(Live::look_for_missing_lines);
    let mut figures = Vec::new();
    for live in &lives {
        let counts = if pace.counted && row.counted {
            counts::count(live, &scene)?
        } else {
            Counts::default()
        };
        figures.push(live.figures(counts));
    }
    beside_the_first(&mut figures);
    Ok(Outcome {
        name: row.name.to_owned(),
        group: row.group.to_owned(),
        title: row.title.to_owned(),
        unit: row.unit.to_owned(),
        rounds: pace.rounds,
        verdicts: judge(row, &figures, pace.quick),
        contestants: figures,
        warnings: lives.iter().flat_map(|live| live.warnings(row.load.is_closed())).collect(),
    })
}

/// Whose capacity decides how much all are asked, where the load is a share of it.
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
