//! The load generator of HTTP/2 runs: h2load, pinned, and what it says.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::engines::GENERATOR_CORE;
use crate::wrk::{Slice, headers};

/// Requests that one connection has under way.
const STREAMS: usize = 8;

/// As many requests under way as a run of wrk with so many connections has.
pub(crate) fn run(
    target: SocketAddr,
    path: &str,
    under_way: usize,
    duration: Duration,
) -> anyhow::Result<Slice> {
    let seconds = duration.as_secs().max(1);
    let mut command = Command::new("taskset");
    command
        .args(["-c", &GENERATOR_CORE.to_string(), "h2load", "-t1"])
        .arg(format!("-c{}", (under_way / STREAMS).max(1)))
        .arg(format!("-m{STREAMS}"))
        .arg(format!("-D{seconds}"))
        .stdin(Stdio::null());
    for header in headers() {
        command.args(["-H", header]);
    }
    let output = command.arg(format!("http://{target}{path}")).output().context("h2load")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let (requests, errors) = parse(&text).with_context(|| format!("h2load said:\n{text}"))?;
    Ok(Slice { requests, seconds: duration.as_secs_f64(), errors })
}

/// Requests that succeeded, and those that did not.
fn parse(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let of = |what: &str| {
        let part = line.split(", ").find_map(|part| part.strip_suffix(what))?;
        part.trim().parse::<u64>().ok()
    };
    Some((of(" succeeded")?, of(" failed")? + of(" errored")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_summary() {
        let text = "finished in 1.00s, 5.00 req/s, 1KB/s\n\
            requests: 9 total, 9 started, 8 done, 5 succeeded, 3 failed, 1 errored, 0 timeout\n";
        assert_eq!(parse(text), Some((5, 4)));
        assert_eq!(parse("nothing"), None);
    }
}
