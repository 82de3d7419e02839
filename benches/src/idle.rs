//! What an engine holds in memory when nothing happens, and for each connection that waits.

use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use portcullis_testkit::procfs;

use crate::compare::Protocol;
use crate::compare::as_float;
use crate::counts::read_response;
use crate::engines::{ENGINES, Engine, Running, start_origin};
use crate::{setup, table, wrk};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Keep-alive connections that wait after one request each.
    #[arg(long, default_value_t = 5_000)]
    connections: usize,
    /// Which engines. The default is all.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
}

/// An engine gives back what a burst needed only after a while.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let engines: Vec<&'static Engine> = if options.engines.is_empty() {
        ENGINES.iter().filter(|engine| engine.name != "floor" && engine.is_default()).collect()
    } else {
        options.engines.iter().map(|name| Engine::find(name)).collect::<Result<_, _>>()?
    };
    setup::require(&engines.iter().filter_map(|engine| engine.need).collect::<Vec<_>>())?;
    raise_descriptor_limit(options.connections)?;
    let base = tempfile::Builder::new().prefix("portcullis-bench-").tempdir()?;
    let origin = start_origin(base.path())?;
    let mut rows = vec![["engine", "at rest, MiB", "KiB/connection"].map(str::to_owned).to_vec()];
    for engine in engines {
        let running =
            engine.start(origin.address, Protocol::Http1, base.path(), &[]).context(engine.name)?;
        rows.push(measure(engine, &running, options.connections).context(engine.name)?);
    }
    println!("{}", table::aligned(&rows));
    Ok(ExitCode::SUCCESS)
}

fn measure(engine: &Engine, running: &Running, count: usize) -> anyhow::Result<Vec<String>> {
    std::thread::sleep(SETTLE);
    let rest = resident(running)?;
    let request = wrk::request("/128");
    // Pools and caches of a first use belong to no connection.
    let mut first = connect(running, &request)?;
    for _ in 0..1_000 {
        first.write_all(&request)?;
        read_response(&mut first)?;
    }
    std::thread::sleep(SETTLE);
    let before = resident(running)?;
    let connections: Vec<TcpStream> =
        (0..count).map(|_| connect(running, &request)).collect::<anyhow::Result<_>>()?;
    std::thread::sleep(SETTLE);
    let after = resident(running)?;
    let each = (as_float(after) - as_float(before)) / 1024.0 / as_float(connections.len() as u64);
    Ok(vec![
        engine.name.to_owned(),
        format!("{:.1}", as_float(rest) / 1024.0 / 1024.0),
        format!("{each:.2}"),
    ])
}

fn connect(running: &Running, request: &[u8]) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(running.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request)?;
    read_response(&mut stream)?;
    Ok(stream)
}

/// Of all its processes. Pages that a master shares with its workers count twice, at rest.
fn resident(running: &Running) -> anyhow::Result<u64> {
    let mut sum = 0;
    for pid in running.processes()? {
        sum += procfs::resident_bytes(pid)?;
    }
    Ok(sum)
}

/// Children inherit it.
fn raise_descriptor_limit(connections: usize) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = u64::try_from(connections)? * 2 + 1_000;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let maximum = limit.maximum.map(|maximum| maximum.max(needed));
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
            .context("raising the limit of descriptors")?;
    }
    Ok(())
}
