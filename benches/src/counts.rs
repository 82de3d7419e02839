//! What repeats exactly where times do not: system calls and user instructions per request.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::live::{Live, Scene};
use crate::load::{Load, wrk};
use crate::numbers::as_float;
use crate::response::read_response;
use crate::results::Counts;
use crate::setup;

/// Requests of the two runs under valgrind: their difference leaves out start and end.
const SHORT: u32 = 1_000;
const LONG: u32 = 4_000;
const CONNECTIONS: u32 = 8;

pub(crate) fn count(live: &Live, scene: &Scene<'_>) -> anyhow::Result<Counts> {
    eprintln!("counting system calls and instructions of {}", live.label);
    let mut counts = by_perf(live, scene).unwrap_or_else(|error| {
        eprintln!("perf counts nothing here: {error}");
        Counts::default()
    });
    let exact = live.engine.runs_under_valgrind && setup::is_installed(setup::VALGRIND);
    if let (None, true, Load::Http1(requests)) = (counts.instructions, exact, &scene.load) {
        match by_valgrind(live, scene, requests) {
            Ok(instructions) => {
                counts.instructions = Some(instructions);
                counts.instructions_by = Some("valgrind".to_owned());
            }
            Err(error) => eprintln!("valgrind cannot count {}: {error:#}", live.label),
        }
    }
    live.running.take_log()?;
    Ok(counts)
}

fn by_perf(live: &Live, scene: &Scene<'_>) -> anyhow::Result<Counts> {
    let file = live.running.directory.join("perf.csv");
    let processes: Vec<String> = live.running.processes()?.iter().map(u32::to_string).collect();
    let mut perf = Command::new("perf")
        .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter,instructions:u", "-p"])
        .arg(processes.join(","))
        .arg("-o")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("perf")?;
    // It says nowhere when it has attached. An idle engine adds nothing worth counting.
    std::thread::sleep(Duration::from_millis(500));
    let slice = scene.load.apply(&live.running, Duration::from_secs(1));
    let pid = i32::try_from(perf.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let (Some(pid), None) = (pid, perf.try_wait()?) {
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    }
    perf.wait()?;
    let requests = as_float(slice?.requests.max(1));
    let text = fs::read_to_string(&file)?;
    let system_calls = perf_figure(&text, "raw_syscalls:sys_enter").map(|count| count / requests);
    let instructions = perf_figure(&text, "instructions:u").map(|count| count / requests);
    let instructions_by = instructions.map(|_| "perf".to_owned());
    Ok(Counts { system_calls, instructions, instructions_by })
}

/// A line is `count,unit,event,...`; the count is a word where there is none.
fn perf_figure(text: &str, event: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split(',').nth(2) == Some(event))?;
    line.split(',').next()?.parse().ok()
}

fn by_valgrind(live: &Live, scene: &Scene<'_>, requests: &wrk::Requests) -> anyhow::Result<f64> {
    let short = instructions(live, scene, requests, SHORT)?;
    let long = instructions(live, scene, requests, LONG)?;
    Ok((as_float(long) - as_float(short)) / f64::from(LONG - SHORT))
}

fn instructions(
    live: &Live,
    scene: &Scene<'_>,
    requests: &wrk::Requests,
    count: u32,
) -> anyhow::Result<u64> {
    let wrapper = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
        "--trace-children=yes",
        "--log-file=@DIR@/valgrind.%p",
    ];
    let mut running =
        live.engine.start(scene.origin.upstreams(), live.setting, scene.base, &wrapper)?;
    exchange(running.address, &requests.bytes(), count)?;
    running.stop();
    let mut sum = 0;
    for entry in fs::read_dir(&running.directory)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "valgrind") {
            sum += references(&fs::read_to_string(path)?).unwrap_or(0);
        }
    }
    if sum == 0 {
        bail!("no count was written");
    }
    Ok(sum)
}

/// `==7== I   refs:      1,234`.
fn references(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(" I ") && line.contains("refs:"))?;
    line.rsplit(' ').next()?.replace(',', "").parse().ok()
}

/// Exactly so many requests, over a few connections in step.
fn exchange(target: SocketAddr, request: &[u8], count: u32) -> anyhow::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        streams.push(stream);
    }
    for _ in 0..count / CONNECTIONS {
        for stream in &mut streams {
            stream.write_all(request)?;
        }
        for stream in &mut streams {
            read_response(stream)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_perf_writes() {
        let text = "# started on Mon\n\n28,,raw_syscalls:sys_enter,1000,100.00,,\n\
                    <not supported>,,instructions:u,0,100.00,,\n";
        assert_eq!(perf_figure(text, "raw_syscalls:sys_enter"), Some(28.0));
        assert_eq!(perf_figure(text, "instructions:u"), None);
    }

    #[test]
    fn reads_what_valgrind_writes() {
        assert_eq!(references("==7== x\n==7== I   refs:      1,234,567\n"), Some(1_234_567));
        assert_eq!(references("==7== I refs:        89\n"), Some(89));
        assert_eq!(references("==7== killed\n"), None);
    }
}
