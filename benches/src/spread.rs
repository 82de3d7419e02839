//! How evenly connections come to lie on the workers of the gateway.
//!
//! The kernel gives each connection to one of the workers' listeners by a hash of its addresses.
//! Nobody counts connections by worker, so each is found out by whose thread works when requests
//! come on it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use portcullis_testkit::procfs;

use crate::engines::{Engine, Running, start_origin};
use crate::load::latency;
use crate::numbers::as_float;
use crate::response::read_response;
use crate::setting::{Cores, Setting};
use crate::stats::median;
use crate::{machine, table};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_delimiter = ',', default_values_t = [2, 4])]
    workers: Vec<u32>,
    /// Keep-alive connections at one time.
    #[arg(long, value_delimiter = ',', default_values_t = [8, 64, 256])]
    connections: Vec<usize>,
    /// Times that each number of connections is opened.
    #[arg(long, default_value_t = 9)]
    tries: usize,
}

/// Requests by which a connection's worker is found out. More if they do not tell.
const REQUESTS: usize = 10;
/// How many times as long as any other the thread must have run that a connection belongs to.
const CLEAR: u64 = 3;
/// How often is asked again before giving up.
const ATTEMPTS: usize = 50;

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    machine::raise_descriptor_limit()?;
    let base = tempfile::Builder::new().prefix("portcullis-bench-").tempdir()?;
    let heading = ["workers", "connections", "max/mean", "the worst", "connections of each, once"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for workers in &options.workers {
        let setting = Setting { workers: *workers, cores: Cores::Shared, ..Setting::PLAIN };
        let origin = start_origin(setting, base.path())?;
        let engine = Engine::find("portcullis")?;
        let running = engine.start(origin.upstreams(), setting, base.path(), &[])?;
        for connections in &options.connections {
            let tries: Vec<Vec<usize>> = (0..options.tries.max(1))
                .map(|_| spread(&running, *workers, *connections))
                .collect::<anyhow::Result<_>>()?;
            let uneven: Vec<f64> = tries.iter().map(|counts| unevenness(counts)).collect();
            rows.push(vec![
                workers.to_string(),
                connections.to_string(),
                format!("{:.2}", median(&uneven)),
                format!("{:.2}", uneven.iter().copied().fold(0.0, f64::max)),
                tries[0].iter().map(usize::to_string).collect::<Vec<_>>().join(" + "),
            ]);
        }
    }
    println!(
        "{}\n1 is even; the median of the tries, and the worst of them.",
        table::aligned(&rows)
    );
    Ok(ExitCode::SUCCESS)
}

/// The most that a worker has, as a multiple of what each would have if all had the same.
fn unevenness(counts: &[usize]) -> f64 {
    let most = counts.iter().copied().max().unwrap_or(0) * counts.len();
    as_float(most as u64) / as_float(counts.iter().sum::<usize>().max(1) as u64)
}

/// How many of so many connections each worker has, the fullest first.
fn spread(running: &Running, workers: u32, connections: usize) -> anyhow::Result<Vec<usize>> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(running.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        streams.push(stream);
    }
    let request = latency::request(running, "/128");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for stream in &mut streams {
        *counts.entry(worker_of(running, stream, &request)?).or_default() += 1;
    }
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.resize(counts.len().max(usize::try_from(workers)?), 0);
    counts.sort_by_key(|count| std::cmp::Reverse(*count));
    running.take_log()?;
    Ok(counts)
}

/// The name of the thread that a connection belongs to.
fn worker_of(running: &Running, stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<String> {
    let before = busy(running)?;
    for _ in 0..ATTEMPTS {
        for _ in 0..REQUESTS {
            stream.write_all(request)?;
            read_response(stream)?;
        }
        if let Some(worker) = clearly_the_busiest(&before, &busy(running)?) {
            return Ok(worker);
        }
    }
    anyhow::bail!("no worker is clearly the one of a connection")
}

/// How long each worker has run.
fn busy(running: &Running) -> anyhow::Result<BTreeMap<String, u64>> {
    let threads = procfs::threads(running.pid()).context("the engine has ended")?;
    let workers = threads.into_iter().filter(|thread| thread.name.starts_with("worker-"));
    Ok(workers.map(|thread| (thread.name, thread.cpu_nanoseconds)).collect())
}

fn clearly_the_busiest(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> Option<String> {
    let grown = after
        .iter()
        .map(|(name, time)| (time.saturating_sub(before.get(name).copied().unwrap_or(0)), name));
    let mut grown: Vec<_> = grown.collect();
    grown.sort_unstable();
    let ((most, name), others) = grown.split_last()?;
    let next = others.last().map_or(0, |(time, _)| *time);
    (*most > 0 && *most >= CLEAR * next).then(|| (*name).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect()
    }

    #[test]
    fn the_worker_is_who_ran_and_nobody_when_two_did() {
        let before = times(&[("worker-0", 1_000), ("worker-1", 50)]);
        for (one, other, expected) in [
            (1_010, 350, Some("worker-1")),
            (1_900, 60, Some("worker-0")),
            (1_100, 150, None),
            (1_000, 50, None),
        ] {
            let after = times(&[("worker-0", one), ("worker-1", other)]);
            assert_eq!(clearly_the_busiest(&before, &after).as_deref(), expected, "{one} {other}");
        }
    }

    #[test]
    fn even_is_one_and_all_on_one_is_the_number_of_workers() {
        for (counts, expected) in [([4, 4], 1.0), ([8, 0], 2.0), ([6, 2], 1.5)] {
            assert!((unevenness(&counts) - expected).abs() < 1e-9, "{counts:?}");
        }
    }
}
