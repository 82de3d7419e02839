//! The command that runs the suite: which rows, how long, where the figures go.

mod selection;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;

use self::selection::Selection;
use crate::engines::{BEFORE, ENGINES, Engine, set_before};
use crate::machine;
use crate::reload;
use crate::results::{Outcome, Results};
use crate::rounds::{Pace, measure};
use crate::row::{Contestant, Row};
use crate::setup::{self, Need};
use crate::suite::{RELOAD, ROWS};
use crate::table;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows, or groups of rows, by name or by its beginning. The default is all.
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

/// What a run is going to do.
struct Plan {
    rows: Vec<Planned>,
    /// Whether the row about reloads comes last.
    reloads: bool,
}

/// A row with those who take part.
struct Planned {
    row: &'static Row,
    contestants: Vec<Contestant>,
    pace: Pace,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        println!("{}", table::list(ROWS, &RELOAD));
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
    let mut book = Book::new(options, &plan)?;
    let mut progress = Progress::new(&plan, options.quick);
    let all = plan.rows.len() + usize::from(plan.reloads);
    for (index, planned) in plan.rows.iter().enumerate() {
        let (row, contestants) = (planned.row, &planned.contestants);
        eprintln!("{}: {}", row.name, row.title);
        let place = format!("row {}/{all} {}", index + 1, row.name);
        let mut measured =
            measure(row, contestants, planned.pace, base.path(), |round, figures| {
                let left = progress.left(planned, round);
                let rounds = planned.pace.rounds;
                eprintln!("{place}, round {round}/{rounds}, {left} left:{figures}");
            });
        progress.done(planned);
        if let Ok(outcome) = &mut measured {
            outcome.warnings.extend(missing.iter().filter_map(|(engine, need)| {
                let wanted = row.contestants.iter().any(|contestant| contestant.engine == *engine);
                wanted.then(|| format!("{engine} is left out, not being installed: {}", need.by))
            }));
        }
        book.enter(row.name, measured)?;
    }
    if plan.reloads {
        eprintln!("{}: {}", RELOAD.name, RELOAD.title);
        book.enter(RELOAD.name, reload::measure(&RELOAD, options.quick, base.path()))?;
    }
    Ok(book.close())
}

/// What was found so far, and where it is written.
struct Book<'a> {
    results: Results,
    failed: Vec<&'static str>,
    path: &'a Path,
}

impl<'a> Book<'a> {
    fn new(options: &'a Options, plan: &Plan) -> anyhow::Result<Self> {
        let results = Results {
            machine: machine::here()?,
            date: machine::date_of(machine::unix_seconds()),
            quick: options.quick,
            slice_seconds: options.seconds,
            versions: versions(plan),
            rows: Vec::new(),
        };
        Ok(Self { results, failed: Vec::new(), path: &options.json })
    }

    /// A row that failed is no reason not to measure the others.
    fn enter(
        &mut self,
        name: &'static str,
        measured: anyhow::Result<Outcome>,
    ) -> anyhow::Result<()> {
        match measured {
            Ok(outcome) => {
                println!("{}", table::row(&outcome, self.results.quick));
                self.results.rows.push(outcome);
                // After every row, so that a run that is interrupted has found something.
                write(&self.results, self.path)?;
            }
            Err(error) => {
                eprintln!("==> {name} FAILED: {error:#}");
                self.failed.push(name);
            }
        }
        Ok(())
    }

    fn close(self) -> ExitCode {
        println!("{}", table::summary(&self.results));
        println!("figures: {}", self.path.display());
        if self.failed.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("FAILED: {}", self.failed.join(", "));
        ExitCode::FAILURE
    }
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

fn plan(options: &Options, absent: &[(&str, Need)]) -> anyhow::Result<Plan> {
    let names: Vec<_> = ROWS.iter().map(|row| (row.name, row.group)).collect();
    let selection =
        Selection::of(&options.only, &[&names[..], &[(RELOAD.name, RELOAD.group)]].concat())?;
    let wanted = |row: &&Row| {
        selection.takes(row.name) && (row.quick || !options.quick || !options.only.is_empty())
    };
    let is_asked_for = |engine: &str| {
        options.engines.is_empty() || options.engines.iter().any(|name| name == engine)
    };
    let takes_part = |contestant: &Contestant| {
        is_asked_for(contestant.engine) && absent.iter().all(|(name, _)| *name != contestant.engine)
    };
    let rows = ROWS.iter().filter(wanted).map(|row| {
        let with_before = row.contestants.iter().flat_map(|contestant| {
            let ours = contestant.engine == "portcullis" && options.before.is_some();
            let before = ours.then_some(Contestant { engine: BEFORE, ..*contestant });
            [Some(*contestant), before].into_iter().flatten()
        });
        let contestants =
            with_before.filter(|one| one.engine == BEFORE || takes_part(one)).collect();
        Planned { row, contestants, pace: pace(options, row) }
    });
    Ok(Plan {
        rows: rows.filter(|planned| !planned.contestants.is_empty()).collect(),
        reloads: selection.takes(RELOAD.name) && is_asked_for("portcullis"),
    })
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

fn needs(plan: &Plan) -> Vec<Need> {
    let mut needs: Vec<Need> =
        plan.rows.iter().flat_map(|planned| planned.row.load.needs()).copied().collect();
    if plan.rows.iter().any(|planned| planned.row.counted && planned.pace.counted) {
        needs.extend([setup::PERF, setup::VALGRIND]);
    }
    if plan.reloads {
        needs.extend(reload::NEEDS);
    }
    needs.dedup();
    needs
}

fn versions(plan: &Plan) -> BTreeMap<String, String> {
    let all = plan.rows.iter().flat_map(|planned| &planned.contestants);
    let names = all.map(|contestant| contestant.engine).chain(plan.reloads.then_some("portcullis"));
    let engines = names.filter_map(|name| Engine::find(name).ok());
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
    fn new(plan: &Plan, quick: bool) -> Self {
        let rows: u64 = plan.rows.iter().map(|planned| planned.seconds(planned.pace.rounds)).sum();
        let nominal = rows + if plan.reloads { RELOAD.about_seconds(quick) } else { 0 };
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
