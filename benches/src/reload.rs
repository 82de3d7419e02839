//! Reloads of a large configuration under load: what they do to latency, to requests, to memory.
//!
//! An open loop runs all the while. The engine reloads in series, and between two series it is
//! left in peace, so that both figures come from the same process and the same minute.

mod storm;

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::engines::{Engine, Running, start_origin};
use crate::load::open::{Arrivals, Ended, OpenLoop, Report};
use crate::load::{latency, on_generator_core, wrk};
use crate::numbers::as_float;
use crate::row::Setting;
use crate::stats::median;
use crate::{machine, setup, table};
use storm::{Storm, Weather};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Routes of the configuration.
    #[arg(long, default_value_t = 10_000)]
    routes: u32,
    #[arg(long, default_value_t = 1_000)]
    reloads: u32,
    /// The short form: 30 reloads. It shows that things work, no more.
    #[arg(long, conflicts_with = "reloads")]
    quick: bool,
}

/// What is asked, of the last route.
const REQUEST: wrk::Requests = wrk::Requests { path: "/128", connections: 64, body: 0 };
/// The share of its capacity that the engine is asked for.
const LOAD: f64 = 0.4;
/// The longest that a storm may take.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// How much longer the 99th percentile may be while a reload goes on.
const SLOWER: f64 = 2.0;
/// How much resident memory may grow from an early reload to the last.
const GROWTH: f64 = 0.10;

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    setup::require(&[setup::WRK])?;
    machine::raise_descriptor_limit()?;
    let base = tempfile::Builder::new().prefix("portcullis-bench-").tempdir()?;
    let origin = start_origin(Setting::PLAIN, base.path())?;
    let engine = Engine::find("portcullis")?;
    let setting = Setting { routes: options.routes, ..Setting::PLAIN };
    let running = engine.start(origin.address, setting, base.path(), &[])?;
    let rate = LOAD * latency::capacity(&REQUEST, &running)?;
    let reloads = if options.quick { 30 } else { options.reloads };
    eprintln!("{reloads} reloads of {} routes under {rate:.0} requests a second", options.routes);
    let storm = Storm::new(&running, reloads);
    let seen = observe(&running, &load(&running, rate), storm)?;
    let findings = Findings::of(&seen);
    println!("{}", findings.text(&seen));
    Ok(if findings.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the generator and the storm saw, each by the same clock.
struct Seen {
    load: Report,
    requests: Vec<Ended>,
    weather: Weather,
}

fn load(running: &Running, rate: f64) -> OpenLoop {
    OpenLoop {
        // Every stretch of time has its share of requests.
        arrivals: Arrivals::Constant,
        connections: REQUEST.connections,
        ..OpenLoop::new(running.address, latency::request(running, REQUEST.path), rate, LONGEST)
    }
}

/// The load beside the storm, until this is over.
fn observe(running: &Running, load: &OpenLoop, storm: Storm<'_>) -> anyhow::Result<Seen> {
    let cores = running.setting.cores;
    let stop = AtomicBool::new(false);
    let (started, start) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let generator = scope.spawn(|| {
            on_generator_core(cores, || {
                let mut requests = Vec::new();
                let begin = || {
                    let now = Instant::now();
                    // Nobody listens any more only where the storm has failed already.
                    let _ = started.send(now);
                    now
                };
                let load = load.run_until(begin, &stop, |request| requests.push(request))?;
                anyhow::Ok((load, requests))
            })
        });
        let weather = start
            .recv_timeout(Duration::from_secs(10))
            .context("the load did not begin")
            .and_then(|start| on_generator_core(cores, || storm.rage(start)));
        stop.store(true, std::sync::atomic::Ordering::Release);
        let load = generator.join();
        let (load, requests) = load.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Seen { load, requests, weather: weather? })
    })
}

/// What was found, and which promises it breaks.
struct Findings {
    calm: Report,
    reloading: Report,
    slower: f64,
    memory: Option<(f64, f64)>,
    broken: Vec<String>,
}

impl Findings {
    fn of(seen: &Seen) -> Self {
        let during = |periods: &[storm::Period]| -> Report {
            let within = |request: &&Ended| {
                let after = periods.partition_point(|period| period.end < request.due);
                periods.get(after).is_some_and(|period| period.begin <= request.due)
            };
            seen.requests.iter().filter(within).map(|request| request.outcome).collect()
        };
        let (calm, reloading) = (during(&seen.weather.calm), during(&seen.weather.reloads));
        let slower = reloading.latency(0.99).as_secs_f64() / calm.latency(0.99).as_secs_f64();
        let memory = early_and_late(&seen.weather.resident);
        let mut broken = Vec::new();
        let mut expect = |holds: bool, text: String| {
            if !holds {
                broken.push(text);
            }
        };
        let failed = seen.load.failed();
        expect(failed == 0, format!("{failed} requests failed"));
        expect(slower <= SLOWER, format!("p99 during a reload is {slower:.2} x, over {SLOWER} x"));
        if let Some((early, late)) = memory {
            let growth = late / early - 1.0;
            expect(growth <= GROWTH, format!("memory grew by {:.1} %", growth * 100.0));
        }
        Self { calm, reloading, slower, memory, broken }
    }

    fn text(&self, seen: &Seen) -> String {
        let heading = ["", "requests", "failed", "p50 us", "p90 us", "p99 us", "p99.9 us"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for (name, report) in
            [("in peace", &self.calm), ("during reloads", &self.reloading), ("all", &seen.load)]
        {
            let mut row = vec![name.to_owned()];
            row.extend([report.answered(), report.failed()].map(|count| count.to_string()));
            row.extend(
                [0.5, 0.9, 0.99, 0.999]
                    .map(|quantile| format!("{:.0}", report.latency(quantile).as_secs_f64() * 1e6)),
            );
            rows.push(row);
        }
        let lengths: Vec<f64> =
            seen.weather.reloads.iter().map(|period| period.length().as_secs_f64() * 1e3).collect();
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let mut text = format!(
            "{}\np99 during a reload: {:.2} x of that in peace, at most {SLOWER} is wanted\n\
             {} reloads, each {:.1} ms, the longest {longest:.1} ms\n",
            table::aligned(&rows),
            self.slower,
            lengths.len(),
            median(&lengths),
        );
        if let Some((early, late)) = self.memory {
            let after = early_reload(seen.weather.resident.len());
            text.push_str(&format!(
                "resident memory after {after} reloads {early:.1} MiB, after all {late:.1} MiB: \
                 {:+.1} %, at most +{:.0} % is wanted\n",
                (late / early - 1.0) * 100.0,
                GROWTH * 100.0
            ));
        }
        if seen.load.fell_behind() {
            text.push_str("warning: the generator fell behind; latencies are rather its own\n");
        }
        for broken in &self.broken {
            text.push_str(&format!("broken: {broken}\n"));
        }
        text
    }
}

/// The reload at which memory is looked at first: 50 of 1,000.
fn early_reload(reloads: usize) -> usize {
    reloads.div_ceil(20)
}

/// Medians in MiB of a few reloads from there and of the last ones.
fn early_and_late(resident: &[u64]) -> Option<(f64, f64)> {
    const FEW: usize = 5;
    let mib = |part: &[u64]| {
        median(&part.iter().map(|bytes| as_float(*bytes) / 1024.0 / 1024.0).collect::<Vec<_>>())
    };
    let early = early_reload(resident.len()).checked_sub(1)?;
    let first = resident.get(early..early + FEW)?;
    Some((mib(first), mib(&resident[resident.len() - FEW..])))
}

#[cfg(test)]
mod tests;
