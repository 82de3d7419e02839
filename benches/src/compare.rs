//! The side-by-side run: all engines resident, slices of load in random order, one core each.
//!
//! The machine drifts more than the engines differ, so every round gives each engine one slice
//! and only ratios within a round are compared. Engines are started anew every few rounds. Cost is
//! the scheduler's run time of the engine's threads for each request that the generator completed:
//! it holds whatever the generator's speed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portcullis_testkit::procfs;
use serde::Serialize;

use crate::counts::{self, Counts};
use crate::engines::{BEFORE, ENGINES, Engine, Missing, Running, set_before, start_origin};
use crate::stats::{median, median_upper_95};
use crate::{h2load, setup, table, wrk};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds; each gives every engine one slice.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Length of a slice in seconds.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Client connections; of HTTP/2, requests under way on a few connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// What clients speak. The origin speaks HTTP/1 in either case.
    #[arg(long, value_enum, default_value_t = Protocol::Http1)]
    protocol: Protocol,
    /// What is asked of the origin: /128, /16k or /1m.
    #[arg(long, default_value = "/128")]
    path: String,
    /// Which engines, in the order of the table. The default is all.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Another build of the gateway, as one more engine: what a change costs, in one run.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Leave out system calls and instructions.
    #[arg(long)]
    no_counts: bool,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "bench-results/compare.json")]
    json: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Http1,
    /// HTTP/2 by prior knowledge, without TLS.
    H2c,
}

/// Everything that one run found.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    machine: Machine,
    rounds: usize,
    slice_seconds: u64,
    connections: usize,
    protocol: Protocol,
    path: String,
    pub(crate) engines: Vec<Figures>,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    unix_time: u64,
}

/// One engine's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// One for each round.
    pub(crate) samples: Vec<Sample>,
    pub(crate) cpu_us: f64,
    /// Share of the processor time in user mode, over all rounds together.
    pub(crate) user_share: Option<f64>,
    pub(crate) requests_per_second: f64,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) cpu_us: f64,
    pub(crate) requests_per_second: f64,
    /// Share of the time in which the engine ran.
    busy: f64,
    /// The same of origin, generator and whoever takes a log, together.
    generator_busy: f64,
    errors: u64,
}

/// Cost against another engine, round by round.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) to: &'static str,
    pub(crate) median: f64,
    /// With a confidence of 95 %.
    pub(crate) upper: Option<f64>,
}

/// The engines that others are compared with.
pub(crate) const REFERENCES: [&str; 3] = ["haproxy", "nginx", BEFORE];

/// Rounds that one process of an engine lives: where it came to lie in memory and in the caches
/// favours or harms it by some percent for as long as it runs.
const ROUNDS_OF_A_PROCESS: usize = 5;

struct Contestant {
    engine: &'static Engine,
    running: Running,
    samples: Vec<Sample>,
    ticks: (u64, u64),
    /// Requests that its process has answered, warming up too.
    answered: u64,
    /// Requests that are not in its log.
    unlogged: Option<Missing>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(program) = &options.before {
        set_before(program);
    }
    let takes_part = |engine: &&Engine| engine.is_default() && engine.speaks(options.protocol);
    let engines: Vec<&'static Engine> = if options.engines.is_empty() {
        ENGINES.iter().filter(takes_part).collect()
    } else {
        options.engines.iter().map(|name| Engine::find(name)).collect::<Result<_, _>>()?
    };
    let mut needs = vec![match options.protocol {
        Protocol::Http1 => setup::WRK,
        Protocol::H2c => setup::H2LOAD,
    }];
    let counted = !options.no_counts && options.protocol == Protocol::Http1;
    needs.extend(engines.iter().filter_map(|engine| engine.need));
    if counted {
        needs.extend([setup::PERF, setup::VALGRIND]);
    }
    setup::require(&needs)?;
    let base = tempfile::Builder::new().prefix("portcullis-bench-").tempdir()?;
    let outcome = compare(options, &engines, counted, base.path())?;
    println!("{}", table::comparison(&outcome));
    if let Some(parent) = options.json.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&options.json, serde_json::to_vec_pretty(&outcome)?)?;
    println!("figures: {}", options.json.display());
    Ok(ExitCode::SUCCESS)
}

fn compare(
    options: &Options,
    engines: &[&'static Engine],
    counted: bool,
    base: &Path,
) -> anyhow::Result<Outcome> {
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        bail!("a comparison needs two cores: one for the engine, one for origin and generator");
    }
    let origin = start_origin(base)?;
    let mut contestants = Vec::new();
    for engine in engines {
        eprintln!("starting {}", engine.name);
        let running =
            engine.start(origin.address, options.protocol, base, &[]).context(engine.name)?;
        contestants.push(Contestant::new(engine, running));
    }
    for contestant in &mut contestants {
        contestant.warm_up(&origin, options)?;
    }
    let mut order: Vec<usize> = (0..contestants.len()).collect();
    for round in 1..=options.rounds {
        if round > 1 && (round - 1) % ROUNDS_OF_A_PROCESS == 0 {
            for contestant in &mut contestants {
                contestant.start_anew(&origin, options, base)?;
            }
        }
        fastrand::shuffle(&mut order);
        let mut line = format!("round {round:>2}/{}:", options.rounds);
        for index in &order {
            let contestant = &mut contestants[*index];
            let sample = contestant.slice(&origin, options)?;
            line.push_str(&format!("  {} {:.1} us", contestant.engine.name, sample.cpu_us));
            contestant.samples.push(sample);
        }
        eprintln!("{line}");
    }
    contestants.iter_mut().for_each(Contestant::look_for_missing_lines);
    let all: Vec<Counts> = contestants
        .iter()
        .map(|contestant| match counted {
            false => Ok(Counts::default()),
            true => {
                eprintln!("counting system calls and instructions of {}", contestant.engine.name);
                let path = &options.path;
                let connections = options.connections;
                counts::count(
                    contestant.engine,
                    &contestant.running,
                    &origin,
                    base,
                    path,
                    connections,
                )
            }
        })
        .collect::<anyhow::Result<_>>()?;
    let warnings = contestants.iter().flat_map(Contestant::warnings).collect();
    let figures = contestants.iter().zip(all).map(|(contestant, counts)| Figures {
        name: contestant.engine.name,
        version: contestant.engine.version(),
        cpu_us: median(&contestant.costs()),
        user_share: contestant.user_share(),
        requests_per_second: contestant.median_of(|sample| sample.requests_per_second),
        ratios: ratios(contestant, &contestants),
        counts,
        samples: contestant.samples.clone(),
    });
    Ok(Outcome {
        machine: Machine::here(cores),
        rounds: options.rounds,
        slice_seconds: options.seconds,
        connections: options.connections,
        protocol: options.protocol,
        path: options.path.clone(),
        engines: figures.collect(),
        warnings,
    })
}

impl Contestant {
    fn new(engine: &'static Engine, running: Running) -> Self {
        let samples = Vec::new();
        Self { engine, running, samples, ticks: (0, 0), answered: 0, unlogged: None }
    }

    /// Goes on with another process of the same engine.
    fn start_anew(
        &mut self,
        origin: &Running,
        options: &Options,
        base: &Path,
    ) -> anyhow::Result<()> {
        self.look_for_missing_lines();
        self.running.stop();
        self.running = self
            .engine
            .start(origin.address, options.protocol, base, &[])
            .context(self.engine.name)?;
        let ticks = self.ticks;
        self.warm_up(origin, options)?;
        self.ticks = ticks;
        Ok(())
    }

    fn look_for_missing_lines(&mut self) {
        let answered = std::mem::take(&mut self.answered);
        let missing = self.running.missing_lines(answered);
        self.unlogged = self.unlogged.take().or(missing);
    }

    /// Fills pools and caches, and makes sure that it does what it is compared by.
    fn warm_up(&mut self, origin: &Running, options: &Options) -> anyhow::Result<()> {
        let name = self.engine.name;
        let sample = self.slice(origin, options)?;
        if sample.errors > 0 || sample.requests_per_second < 1.0 {
            bail!("{name} fails requests: {sample:?}");
        }
        // Twice, because a log may be buffered for a second.
        self.running.take_log()?;
        self.slice_raw(origin, options)?;
        if self.running.take_log()? == Some(false) {
            bail!("{name} writes no access log");
        }
        self.ticks = (0, 0);
        Ok(())
    }

    fn slice(&mut self, origin: &Running, options: &Options) -> anyhow::Result<Sample> {
        let sample = self.slice_raw(origin, options)?;
        self.running.take_log()?;
        Ok(sample)
    }

    fn slice_raw(&mut self, origin: &Running, options: &Options) -> anyhow::Result<Sample> {
        let processes = self.running.processes()?;
        let own = std::process::id();
        let cpu = || sum(&processes, procfs::cpu_nanoseconds);
        let before = cpu()?;
        let ticks_before = ticks(&processes)?;
        let generator_before = procfs::ended_children_ticks(own)?;
        // Beside the origin, and in this process where a log has to be taken.
        let others = [origin.pid(), own];
        let others_before = sum(&others, procfs::cpu_nanoseconds)?;
        let start = Instant::now();
        let duration = Duration::from_secs(options.seconds);
        let run = match options.protocol {
            Protocol::Http1 => wrk::run,
            Protocol::H2c => h2load::run,
        };
        let slice = run(self.running.address, &options.path, options.connections, duration)?;
        let wall = start.elapsed().as_secs_f64();
        let cpu = seconds(cpu()? - before);
        let ticks_after = ticks(&processes)?;
        self.ticks.0 += ticks_after.0 - ticks_before.0;
        self.ticks.1 += ticks_after.1 - ticks_before.1;
        let generator = procfs::ended_children_ticks(own)? - generator_before;
        let others = seconds(sum(&others, procfs::cpu_nanoseconds)? - others_before);
        self.answered += slice.requests;
        let requests = as_float(slice.requests.max(1));
        let per_second = as_float(rustix::param::clock_ticks_per_second());
        Ok(Sample {
            cpu_us: cpu * 1e6 / requests,
            requests_per_second: requests / slice.seconds,
            busy: cpu / wall,
            generator_busy: (as_float(generator) / per_second + others) / wall,
            errors: slice.errors,
        })
    }

    fn costs(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.cpu_us).collect()
    }

    fn median_of(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(&self.samples.iter().map(figure).collect::<Vec<_>>())
    }

    fn user_share(&self) -> Option<f64> {
        let all = self.ticks.0 + self.ticks.1;
        // Sampled by the clock tick: a few hundred say something.
        (all >= 200).then(|| as_float(self.ticks.0) / as_float(all))
    }

    fn warnings(&self) -> Vec<String> {
        let name = self.engine.name;
        let mut warnings = Vec::new();
        let errors: u64 = self.samples.iter().map(|sample| sample.errors).sum();
        if errors > 0 {
            warnings.push(format!("{name}: {errors} requests failed; its figures mean nothing"));
        }
        if let Some(Missing { lines, last }) = &self.unlogged {
            warnings.push(format!(
                "{name}: {lines} requests are not in its log, which would have cost it \
                 more; the log ends with: {last}"
            ));
        }
        let (busy, other) =
            (self.median_of(|sample| sample.busy), self.median_of(|sample| sample.generator_busy));
        if busy < 0.9 {
            let limit =
                if other > 0.8 { "these were the limit" } else { "other programs held the cores" };
            warnings.push(format!(
                "{name}: ran {:.0} % of the time, origin and generator {:.0} %: {limit}, so its \
                 requests per second are not its best and its cost is that of a lighter load",
                busy * 100.0,
                other * 100.0
            ));
        }
        warnings
    }
}

fn ratios(of: &Contestant, all: &[Contestant]) -> Vec<Ratio> {
    let references = all.iter().filter(|other| {
        REFERENCES.contains(&other.engine.name) && other.engine.name != of.engine.name
    });
    let ratio = |other: &Contestant| {
        let rounds: Vec<f64> =
            of.costs().iter().zip(other.costs()).map(|(own, other)| own / other).collect();
        Ratio { to: other.engine.name, median: median(&rounds), upper: median_upper_95(&rounds) }
    };
    references.map(ratio).collect()
}

fn sum(processes: &[u32], figure: impl Fn(u32) -> std::io::Result<u64>) -> std::io::Result<u64> {
    processes.iter().map(|pid| figure(*pid)).sum()
}

fn ticks(processes: &[u32]) -> std::io::Result<(u64, u64)> {
    let mut sum = (0, 0);
    for pid in processes {
        let (user, system) = procfs::cpu_ticks(*pid)?;
        sum = (sum.0 + user, sum.1 + system);
    }
    Ok(sum)
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run stay far below 2^52")]
pub(crate) fn as_float(number: u64) -> f64 {
    number as f64
}

impl Machine {
    fn here(cores: usize) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            processor: model
                .map_or_else(String::new, |text| text.trim_matches([' ', '\t', ':']).to_owned()),
            cores,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            unix_time: now.map_or(0, |time| time.as_secs()),
        }
    }
}
