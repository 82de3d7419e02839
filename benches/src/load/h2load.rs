//! A closed loop of HTTP/2: h2load, and what it says.

use std::time::Duration;

use anyhow::{Context, bail};

use super::wrk::headers;
use super::{Slice, generator};
use crate::engines::Running;

/// Requests that one connection has under way.
const STREAMS: usize = 8;

/// What clients ask, again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requests {
    pub(crate) path: &'static str,
    /// Over all connections, each of which has eight.
    pub(crate) under_way: usize,
    /// Bytes of the message of a call of gRPC; without any it is a GET.
    pub(crate) message: u8,
}

pub(crate) fn run(
    requests: &Requests,
    engine: &Running,
    duration: Duration,
) -> anyhow::Result<Slice> {
    let mut h2load = generator("h2load", engine.setting.cores);
    h2load
        .arg("-t1")
        .arg(format!("-c{}", (requests.under_way / STREAMS).max(1)))
        .arg(format!("-m{STREAMS}"))
        .arg(format!("-D{}", duration.as_secs().max(1)));
    for header in headers() {
        h2load.args(["-H", header]);
    }
    if requests.message > 0 {
        let body = engine.directory.join("message.bin");
        std::fs::write(&body, message(requests.message))?;
        h2load.args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"]).arg(body);
    }
    let output = h2load.arg(engine.url(requests.path)).output().context("h2load")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let (requests, errors) = parse(&text).with_context(|| format!("h2load said:\n{text}"))?;
    Ok(Slice {
        requests,
        seconds: duration.as_secs_f64(),
        errors,
        figure: None,
        fell_behind: false,
    })
}

/// A message of gRPC as it stands in a body: not compressed, its length, so many bytes.
pub(crate) fn message(length: u8) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, length];
    bytes.resize(bytes.len() + usize::from(length), b'x');
    bytes
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
