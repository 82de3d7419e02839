//! A contestant that runs: warmed up, given slices, started anew, and what its slices found.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portcullis_testkit::procfs;

use crate::engines::{Engine, Missing, Running};
use crate::load::{Load, Slice};
use crate::numbers::{as_float, seconds};
use crate::results::{Counts, Figures, Sample};
use crate::row::Contestant;
use crate::setting::{Cores, Setting};
use crate::stats::median;

/// What all contestants of a row share.
pub(crate) struct Scene<'a> {
    pub(crate) load: Load,
    pub(crate) slice: Duration,
    pub(crate) origin: &'a Running,
    /// Where everything is written.
    pub(crate) base: &'a Path,
    /// Slices that fill pools and caches.
    pub(crate) warming: usize,
}

/// Slices without any answer that are as many as nobody has by chance.
const ATTEMPTS: usize = 3;

/// How long a log may stay in an engine's buffers.
const BUFFERED: Duration = Duration::from_secs(3);

pub(crate) struct Live {
    pub(crate) label: String,
    pub(crate) engine: &'static Engine,
    pub(crate) setting: Setting,
    pub(crate) running: Running,
    samples: Vec<Sample>,
    /// Whether its figures are the processor's time.
    is_cpu: bool,
    /// In user and in system mode.
    ticks: (u64, u64),
    /// Requests that its process has answered, warming up too.
    answered: u64,
    /// Requests that are not in its log.
    unlogged: Option<Missing>,
    /// Slices in which the generator did not keep up.
    fell_behind: usize,
}

impl Live {
    pub(crate) fn start(
        contestant: &Contestant,
        of_the_row: Setting,
        scene: &Scene<'_>,
    ) -> anyhow::Result<Self> {
        let engine = Engine::find(contestant.engine)?;
        let setting = contestant.setting(of_the_row);
        let running = engine
            .start(scene.origin.upstreams(), setting, scene.base, &[])
            .with_context(|| contestant.label())?;
        let mut live = Self {
            label: contestant.label(),
            engine,
            setting,
            running,
            samples: Vec::new(),
            is_cpu: true,
            ticks: (0, 0),
            answered: 0,
            unlogged: None,
            fell_behind: 0,
        };
        live.warm_up(scene)?;
        Ok(live)
    }

    /// Goes on with another process of the same engine.
    pub(crate) fn start_anew(&mut self, scene: &Scene<'_>) -> anyhow::Result<()> {
        self.look_for_missing_lines();
        self.running.stop();
        self.running = self
            .engine
            .start(scene.origin.upstreams(), self.setting, scene.base, &[])
            .with_context(|| self.label.clone())?;
        self.warm_up(scene)
    }

    pub(crate) fn look_for_missing_lines(&mut self) {
        let answered = std::mem::take(&mut self.answered);
        let missing = self.running.missing_lines(answered);
        self.unlogged = self.unlogged.take().or(missing);
    }

    /// Fills pools and caches, and makes sure that it does what it is compared by.
    fn warm_up(&mut self, scene: &Scene<'_>) -> anyhow::Result<()> {
        if scene.load.wants_a_new_process() {
            return Ok(());
        }
        let ticks = self.ticks;
        for _ in 0..scene.warming {
            let sample = self.slice_with_requests(scene)?;
            if sample.errors > 0 {
                bail!("{} fails requests: {sample:?}", self.label);
            }
        }
        let deadline = Instant::now() + BUFFERED;
        while self.running.take_log()? == Some(false) {
            if Instant::now() > deadline {
                bail!("{} writes no access log", self.label);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.ticks = ticks;
        Ok(())
    }

    /// One more sample.
    pub(crate) fn slice(&mut self, scene: &Scene<'_>) -> anyhow::Result<&Sample> {
        if scene.load.wants_a_new_process() && !self.samples.is_empty() {
            self.start_anew(scene)?;
        }
        let sample = self.slice_with_requests(scene).with_context(|| self.label.clone())?;
        self.running.take_log()?;
        self.samples.push(sample);
        Ok(&self.samples[self.samples.len() - 1])
    }

    /// A machine that others keep busy may let a slice pass without any: it is given again.
    fn slice_with_requests(&mut self, scene: &Scene<'_>) -> anyhow::Result<Sample> {
        for _ in 0..ATTEMPTS {
            let sample = self.slice_raw(scene)?;
            if !self.is_cpu || sample.requests_per_second > 0.0 {
                return Ok(sample);
            }
        }
        bail!("{} answers nothing", self.label)
    }

    fn slice_raw(&mut self, scene: &Scene<'_>) -> anyhow::Result<Sample> {
        let processes = self.running.processes()?;
        let own = std::process::id();
        let cpu = || sum(&processes, procfs::cpu_nanoseconds);
        let before = cpu()?;
        let ticks_before = ticks(&processes)?;
        let generator_before = procfs::ended_children_ticks(own)?;
        // Beside the origin, and in this process where a log has to be taken.
        let others = [scene.origin.pid(), own];
        let others_before = sum(&others, procfs::cpu_nanoseconds)?;
        let start = Instant::now();
        let Slice { requests, seconds: lasted, errors, figure, fell_behind } =
            scene.load.apply(&self.running, scene.slice)?;
        let wall = start.elapsed().as_secs_f64();
        let cpu = seconds(cpu()? - before);
        let ticks_after = ticks(&processes)?;
        self.ticks.0 += ticks_after.0 - ticks_before.0;
        self.ticks.1 += ticks_after.1 - ticks_before.1;
        let generator = procfs::ended_children_ticks(own)? - generator_before;
        let others = seconds(sum(&others, procfs::cpu_nanoseconds)? - others_before);
        self.answered += requests;
        self.fell_behind += usize::from(fell_behind);
        self.is_cpu = scene.load.is_of_processor_time();
        let per_second = as_float(rustix::param::clock_ticks_per_second());
        Ok(Sample {
            figure: figure.unwrap_or(cpu * 1e6 / as_float(requests.max(1))),
            requests_per_second: as_float(requests) / lasted,
            busy: cpu / wall,
            generator_busy: (as_float(generator) / per_second + others) / wall,
            errors,
        })
    }

    /// All that its slices found.
    pub(crate) fn figures(&self, counts: Counts) -> Figures {
        let rounds: Vec<f64> = self.samples.iter().map(|sample| sample.figure).collect();
        Figures {
            label: self.label.clone(),
            engine: self.engine.name.to_owned(),
            figure: median(&rounds),
            to_first: None,
            user_share: self.user_share(),
            requests_per_second: self
                .is_cpu
                .then(|| self.median_of(|sample| sample.requests_per_second)),
            counts,
            samples: self.samples.clone(),
        }
    }

    fn median_of(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(&self.samples.iter().map(figure).collect::<Vec<_>>())
    }

    fn user_share(&self) -> Option<f64> {
        let all = self.ticks.0 + self.ticks.1;
        // Sampled by the clock tick: a few hundred say something.
        (self.is_cpu && all >= 200).then(|| as_float(self.ticks.0) / as_float(all))
    }

    /// What a reader of the figures has to know. `loop_is_closed`: the generator sends as fast as
    /// it is answered, so that the engine should never wait.
    pub(crate) fn warnings(&self, loop_is_closed: bool) -> Vec<String> {
        let name = &self.label;
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
        if self.fell_behind > 0 {
            warnings.push(format!(
                "{name}: the generator fell behind in {} of the slices, whose figures are rather its own",
                self.fell_behind
            ));
        }
        let (busy, other) =
            (self.median_of(|sample| sample.busy), self.median_of(|sample| sample.generator_busy));
        if loop_is_closed && self.setting.cores == Cores::Split && busy < 0.9 {
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
