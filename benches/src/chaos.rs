//! The chaos run of the testkit, at length, against the gateway that was built.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use portcullis_testkit::chaos::{Chaos, Fault, chaos};
use portcullis_testkit::process::workspace_binary;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Gives a run again; default: a new one.
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10))]
    minutes: u32,
    /// Requests per second of all protocols together.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Seconds that a fault lasts.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=30))]
    slot: u64,
    /// This fault alone, over and over, by its name in docs/testing.md; to be given again for more.
    #[arg(long, value_parser = named)]
    only: Vec<Fault>,
    /// The gateway; the default is the one built beside this program.
    #[arg(long)]
    gateway: Option<PathBuf>,
}

/// After each fault.
const CALM: Duration = Duration::from_secs(4);

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let gateway = match &options.gateway {
        Some(path) => std::path::absolute(path)?,
        None => workspace_binary("portcullis-gateway")?,
    };
    anyhow::ensure!(options.rate.is_finite() && options.rate > 0.0, "a rate is more than nothing");
    let slot = Duration::from_secs(options.slot);
    let whole = u64::from(options.minutes) * 60 / (slot + CALM).as_secs();
    let run = Chaos {
        gateway: &gateway,
        seed: options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        faults: if options.only.is_empty() { &Fault::ALL } else { &options.only },
        slots: usize::try_from(whole)?,
        slot,
        calm: CALM,
        rate: options.rate,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(chaos(run, &mut |line| println!("{line}")));
    Ok(match ended {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("{failed}\nseed {}: FAILED", failed.seed);
            ExitCode::FAILURE
        }
    })
}

fn named(name: &str) -> Result<Fault, String> {
    let names = || Fault::ALL.map(Fault::name).join(", ");
    let found = Fault::ALL.into_iter().find(|fault| fault.name() == name);
    found.ok_or_else(|| format!("the faults are {}", names()))
}
