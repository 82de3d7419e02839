//! The long scenarios of the testkit, against the gateway that was built.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use portcullis_testkit::origin::Origin;
use portcullis_testkit::process::{Process, free_address, workspace_binary};
use portcullis_testkit::soak::{
    Intensity, KillEndpoint, ReloadStorm, SigtermDrain, Verdict, kill_endpoint, reload_storm,
    sigterm_drain,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of the reload storm; the other scenarios take a sixth of it.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 1_000)]
    reloads: u32,
    /// Requests per second.
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How much resident memory may grow over the reloads, in percent.
    #[arg(long, default_value_t = 5.0)]
    growth: f64,
    /// The gateway; the default is the one built beside this program.
    #[arg(long)]
    gateway: Option<PathBuf>,
}

const READY: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(5);
const FILE: &str = "portcullis.yaml";

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let verdicts = runtime.block_on(scenarios(options))?;
    let passed = verdicts.iter().all(Verdict::passed);
    println!("{}", if passed { "every promise was kept" } else { "promises were BROKEN" });
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn scenarios(options: &Options) -> anyhow::Result<Vec<Verdict>> {
    let gateway = match &options.gateway {
        Some(path) => std::path::absolute(path)?,
        None => workspace_binary("portcullis-gateway")?,
    };
    let storm = Intensity {
        rate: options.rate,
        connections: options.connections,
        duration: Duration::from_secs(options.seconds),
    };
    let short = Intensity { duration: storm.duration.div_f64(6.0), ..storm };
    let verdicts = vec![
        print(reloads(&gateway, storm, options).await?),
        print(drain(&gateway, short).await?),
        print(death(&gateway, short).await?),
    ];
    Ok(verdicts)
}

fn print(verdict: Verdict) -> Verdict {
    println!("{verdict}");
    verdict
}

async fn reloads(
    gateway: &PathBuf,
    intensity: Intensity,
    options: &Options,
) -> anyhow::Result<Verdict> {
    let origin = Origin::start("a").await?;
    let address = free_address()?;
    let endpoints = [origin.address()];
    let configuration = |generation| configuration(address, &endpoints, generation);
    let process = start(gateway, address, &configuration(0)).await?;
    let storm = ReloadStorm {
        intensity,
        reloads: options.reloads,
        address,
        path: "/bytes/128",
        generation_path: "/generation",
        file: FILE,
        configuration: &configuration,
        growth: options.growth / 100.0,
    };
    Ok(reload_storm(&process, &storm).await?)
}

async fn drain(gateway: &PathBuf, intensity: Intensity) -> anyhow::Result<Verdict> {
    let origin = Origin::start("a").await?;
    let address = free_address()?;
    let mut process =
        start(gateway, address, &configuration(address, &[origin.address()], 0)).await?;
    let drain = SigtermDrain {
        intensity,
        address,
        path: "/bytes/128",
        origin: &origin,
        slow_path: "/delay/1000/x",
        slow_requests: 8,
        drain_timeout: DRAIN,
    };
    Ok(sigterm_drain(&mut process, &drain).await?)
}

async fn death(gateway: &PathBuf, intensity: Intensity) -> anyhow::Result<Verdict> {
    let (doomed, other) = (Origin::start("a").await?, Origin::start("b").await?);
    let address = free_address()?;
    let endpoints = [doomed.address(), other.address()];
    let _process = start(gateway, address, &configuration(address, &endpoints, 0)).await?;
    let kill = KillEndpoint { intensity, address, path: "/delay/5/x" };
    Ok(kill_endpoint(&kill, doomed, &other).await?)
}

async fn start(
    gateway: &PathBuf,
    address: SocketAddr,
    configuration: &str,
) -> anyhow::Result<Process> {
    let arguments = ["run", "--config", "{dir}/portcullis.yaml"];
    let mut process = Process::start(gateway, arguments, &[(FILE, configuration)])?;
    process.listening(address, READY).await?;
    Ok(process)
}

/// Each generation has a few routes that no other has, and one that tells its number.
fn configuration(address: SocketAddr, endpoints: &[SocketAddr], generation: u32) -> String {
    let endpoints: Vec<String> =
        endpoints.iter().map(|endpoint| format!("{{address: \"{endpoint}\"}}")).collect();
    let mut text = format!(
        "version: v1\n\
         workers: 1\n\
         listeners:\n\
         \x20 - {{name: soak, address: \"{address}\", kind: http}}\n\
         upstreams:\n\
         \x20 - {{name: origin, endpoints: [{}]}}\n\
         routes:\n\
         \x20 - name: generation\n\
         \x20   match: {{path: {{exact: /generation}}}}\n\
         \x20   reply: {{status: 200, body: \"{generation}\"}}\n",
        endpoints.join(", ")
    );
    for index in 0..generation % 7 {
        text.push_str(&format!(
            "\x20 - name: changing-{generation}-{index}\n\
             \x20   match: {{hosts: [host-{generation}.example], path: {{prefix: /{generation}/{index}}}}}\n\
             \x20   backends: [{{upstream: origin}}]\n"
        ));
    }
    text.push_str(&format!(
        "\x20 - name: all\n\
         \x20   match: {{path: {{prefix: /}}}}\n\
         \x20   backends: [{{upstream: origin}}]\n\
         accessLog: {{path: access.log}}\n\
         shutdown: {{drainTimeout: {}s}}\n",
        DRAIN.as_secs()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_differ_and_stay_well_formed() {
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let text = configuration(address, &[address, address], 3);
        assert_eq!(text.matches("changing-3-").count(), 3);
        assert!(
            text.lines().all(|line| !line.starts_with(' ') || line.starts_with("  ")),
            "{text}"
        );
        assert!(text.contains("endpoints: [{address: \"127.0.0.1:1\"}, {address"), "{text}");
        assert_ne!(text, configuration(address, &[address, address], 4));
    }
}
