//! The command that runs the suite: which rows, how long, where the figures go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::engines::{BEFORE, ENGINES, Engine, set_before};
use crate::machine;
use crate::results::Results;
use crate::rounds::{Pace, measure};
use crate::row::{Contestant, Row};
use crate::setup::{self, Need};
use crate::suite::ROWS;
use crate::table;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows, or groups of rows, by name. The default is all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The short form: fewer rows, one round, no counts. It shows that things work, no more.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Rounds instead of each row's own number; each gives every contestant one slice.
    #[arg(long)]
    rounds: Option<usize>,
    /// Length of a slice in seconds.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Which engines. The default is all that are installed.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Another build of the gateway, as one more engine: what a change costs, in one run.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Leave out system calls and instructions.
    #[arg(long)]
    no_counts: bool,
    /// List the rows and end.
    #[arg(long)]
    list: bool,
    /// Where the figures go.
    #[arg(long, default_value = "bench-results/bench.json")]
    json: PathBuf,
}

/// A row with those who take part.
struct Planned {
    row: &'static Row,
    contestants: Vec<Contestant>,
    pace: Pace,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        println!("{}", table::list(ROWS));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(program) = &options.before {
        set_before(program);
    }
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("a comparison needs two cores: one for the engine, one for origin and generator");
    }
    let missing = absent(options)?;
    let plan = plan(options, &missing)?;
    setup::require(&needs(&plan))?;
    machine::raise_descriptor_limit()?;
    let base = tempfile::Builder::new().prefix("portcullis-bench-").tempdir()?;
    let mut results = Results {
        machine: machine::here()?,
        date: machine::date_of(machine::unix_seconds()),
        quick: options.quick,
        slice_seconds: options.seconds,
        versions: versions(&plan),
        rows: Vec::new(),
    };
    let mut failed = Vec::new();
    let mut progress = Progress::new(&plan);
    for (index, planned) in plan.iter().enumerate() {
        let (row, contestants) = (planned.row, &planned.contestants);
        eprintln!("{}: {}", row.name, row.title);
        let place = format!("row {}/{} {}", index + 1, plan.len(), row.name);
        let measured = measure(row, contestants, planned.pace, base.path(), |round, figures| {
            let left = progress.left(planned, round);
            let rounds = planned.pace.rounds;
            eprintln!("{place}, round {round}/{rounds}, {left} left:{figures}");
        });
        progress.done(planned);
        // The others are worth measuring all the same.
        let mut outcome = match measured {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("==> {} FAILED: {error:#}", row.name);
                failed.push(row.name);
                continue;
            }
        };
        outcome.warnings.extend(missing.iter().filter_map(|(engine, need)| {
            let wanted = row.contestants.iter().any(|contestant| contestant.engine == *engine);
            wanted.then(|| format!("{engine} is left out, not being installed: {}", need.by))
        }));
        println!("{}", table::row(&outcome, options.quick));
        results.rows.push(outcome);
        // After every row, so that a run that is interrupted has found something.
        write(&results, &options.json)?;
    }
    println!("{}", table::summary(&results));
    println!("figures: {}", options.json.display());
    if !failed.is_empty() {
        println!("FAILED: {}", failed.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Engines that would take part and are not installed. One that was asked for has to be.
fn absent(options: &Options) -> anyhow::Result<Vec<(&'static str, Need)>> {
    for name in &options.engines {
        if let Some(need) = Engine::find(name)?.missing() {
            setup::require(&[need])?;
        }
    }
    let absent: Vec<_> = ENGINES
        .iter()
        .filter(|engine| {
            options.engines.is_empty() || options.engines.contains(&engine.name.to_owned())
        })
        .filter_map(|engine| engine.missing().map(|need| (engine.name, need)))
        .collect();
    for (name, need) in &absent {
        eprintln!("==> {name} IS LEFT OUT, not being installed: {}", need.by);
    }
    Ok(absent)
}

fn plan(options: &Options, absent: &[(&str, Need)]) -> anyhow::Result<Vec<Planned>> {
    for name in &options.only {
        if !ROWS.iter().any(|row| row.name == name || row.group == name) {
            bail!("no row or group is called {name}; `--list` shows them");
        }
    }
    let wanted = |row: &&Row| {
        let named = options.only.iter().any(|name| row.name == name || row.group == name);
        named || (options.only.is_empty() && (row.quick || !options.quick))
    };
    let takes_part = |contestant: &Contestant| {
        let named = options.engines.iter().any(|name| name == contestant.engine);
        (named || options.engines.is_empty())
            && absent.iter().all(|(name, _)| *name != contestant.engine)
    };
    let plan = ROWS.iter().filter(wanted).map(|row| {
        let with_before = row.contestants.iter().flat_map(|contestant| {
            let ours = contestant.engine == "portcullis" && options.before.is_some();
            let before = ours.then_some(Contestant { engine: BEFORE, ..*contestant });
            [Some(*contestant), before].into_iter().flatten()
        });
        let contestants =
            with_before.filter(|one| one.engine == BEFORE || takes_part(one)).collect();
        Planned { row, contestants, pace: pace(options, row) }
    });
    Ok(plan.filter(|planned| !planned.contestants.is_empty()).collect())
}

fn pace(options: &Options, row: &Row) -> Pace {
    Pace {
        rounds: if options.quick { 1 } else { options.rounds.unwrap_or(row.rounds) },
        slice: Duration::from_secs(options.seconds) * row.length,
        warming: if options.quick { 1 } else { 2 },
        counted: !options.no_counts && !options.quick,
        quick: options.quick,
    }
}

fn needs(plan: &[Planned]) -> Vec<Need> {
    let mut needs: Vec<Need> =
        plan.iter().flat_map(|planned| planned.row.load.needs()).copied().collect();
    if plan.iter().any(|planned| planned.row.counted && planned.pace.counted) {
        needs.extend([setup::PERF, setup::VALGRIND]);
    }
    needs.dedup();
    needs
}

fn versions(plan: &[Planned]) -> BTreeMap<String, String> {
    let all = plan.iter().flat_map(|planned| &planned.contestants);
    let engines = all.filter_map(|contestant| Engine::find(contestant.engine).ok());
    engines.map(|engine| (engine.name.to_owned(), engine.version())).collect()
}

fn write(results: &Results, path: &Path) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(std::fs::write(path, serde_json::to_vec_pretty(results)?)?)
}

/// How long it will still take, going by how long it took.
struct Progress {
    start: Instant,
    /// Of all rows, as if everything went as planned.
    nominal: u64,
    done: u64,
}

impl Progress {
    fn new(plan: &[Planned]) -> Self {
        let nominal = plan.iter().map(|planned| planned.seconds(planned.pace.rounds)).sum();
        Self { start: Instant::now(), nominal, done: 0 }
    }

    fn left(&self, planned: &Planned, round: usize) -> String {
        let done = self.done + planned.seconds(round);
        let elapsed = self.start.elapsed().as_secs();
        let left = elapsed * (self.nominal.saturating_sub(done)) / done.max(1);
        format!("{} min {:02} s", left / 60, left % 60)
    }

    fn done(&mut self, planned: &Planned) {
        self.done += planned.seconds(planned.pace.rounds);
    }
}

impl Planned {
    /// Until so many rounds are done.
    fn seconds(&self, rounds: usize) -> u64 {
        let slice = self.row.load.about_seconds(self.pace.slice.as_secs());
        (rounds + self.pace.warming) as u64 * self.contestants.len() as u64 * slice
    }
}
