//! The row about reloads of a large configuration under load: what they do to latency, to requests,
//! to memory.
//!
//! An open loop runs all the while. The engine reloads in series, and between two series it is
//! left in peace, so that both figures come from the same process and the same minutes. It knows
//! nothing of other engines.

mod findings;
mod storm;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;

use self::findings::Findings;
use self::storm::{Storm, Weather};
use crate::engines::{Engine, Running, start_origin};
use crate::load::open::{Arrivals, Ended, OpenLoop, Report};
use crate::load::{latency, on_generator_core, wrk};
use crate::results::Outcome;
use crate::setting::Setting;
use crate::setup::{self, Need};

/// What is asked of reloads, and what is promised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reloads {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) title: &'static str,
    /// Of the configuration; requests go to the last of them.
    pub(crate) routes: u32,
    /// The share of its capacity that the engine is asked for.
    pub(crate) load: f64,
    pub(crate) reloads: u32,
    /// In the short form, which shows that things work, no more.
    pub(crate) reloads_if_quick: u32,
    /// No reload begins later, however many are still to come.
    pub(crate) time: Duration,
    /// How many times as long as in peace the 99th percentile may be while a reload goes on.
    pub(crate) slower: f64,
    /// How many times as large as after an early reload memory may be after the last.
    pub(crate) larger: f64,
}

/// What is asked, of the last route.
const REQUEST: wrk::Requests = wrk::Requests { path: "/128", connections: 64, body: 0 };
/// The longest that load and storm may take.
const LONGEST: Duration = Duration::from_secs(30 * 60);

pub(crate) const NEEDS: &[Need] = &[setup::WRK];

pub(crate) fn measure(row: &Reloads, quick: bool, base: &Path) -> anyhow::Result<Outcome> {
    let origin = start_origin(Setting::PLAIN, base)?;
    let setting = Setting { routes: row.routes, ..Setting::PLAIN };
    let running = Engine::find("portcullis")?.start(origin.upstreams(), setting, base, &[])?;
    let rate = row.load * latency::capacity(&REQUEST, &running)?;
    let reloads = row.count(quick);
    eprintln!("{reloads} reloads under {rate:.0} requests a second");
    let storm = Storm::new(&running, reloads, row.time);
    let seen = observe(&running, &load(&running, rate), storm)?;
    Ok(Findings::of(&seen).outcome(row, &seen, quick))
}

impl Reloads {
    pub(crate) fn count(&self, quick: bool) -> u32 {
        if quick { self.reloads_if_quick } else { self.reloads }
    }

    /// How long they take, for telling how long a run lasts.
    pub(crate) fn about_seconds(&self, quick: bool) -> u64 {
        10 + u64::from(self.count(quick)) / 4
    }
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
