//! The load generator of the closed-loop runs: wrk, pinned, and what it says.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::engines::GENERATOR_CORE;

/// What a browser sends to a shop's API, with `host` eight of them.
const HEADERS: [&str; 7] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Accept: application/json, text/plain, */*",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://shop.example.com/products/4711",
    "Cookie: session=0f3b5b0e9d6c4a1f8a7e; theme=dark; cart=3",
    "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI0NzExIn0.c2lnbmF0dXJl",
];

/// One slice of load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slice {
    pub(crate) requests: u64,
    /// As wrk counted it.
    pub(crate) seconds: f64,
    /// Socket errors, timeouts and statuses other than 2xx and 3xx.
    pub(crate) errors: u64,
}

pub(crate) fn run(
    target: SocketAddr,
    path: &str,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Slice> {
    let seconds = duration.as_secs().max(1).to_string();
    let mut command = Command::new("taskset");
    command
        .args([
            "-c",
            &GENERATOR_CORE.to_string(),
            "wrk",
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
        ])
        .stdin(Stdio::null());
    for header in headers() {
        command.args(["-H", header]);
    }
    let output = command.arg(format!("http://{target}{path}")).output().context("wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&text).with_context(|| format!("wrk said:\n{text}"))
}

pub(crate) fn headers() -> impl Iterator<Item = &'static str> {
    HEADERS.into_iter()
}

/// One such request as bytes, for runs that count exactly.
pub(crate) fn request(path: &str) -> Vec<u8> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    for header in headers() {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

fn parse(text: &str) -> io::Result<Slice> {
    let missing = |what: &str| io::Error::other(format!("no {what} in the output of wrk"));
    let mut slice = None;
    let mut errors = 0;
    for line in text.lines().map(str::trim) {
        if let Some((requests, rest)) = line.split_once(" requests in ") {
            let requests = requests.parse().map_err(|_| missing("number of requests"))?;
            let time = rest.split(',').next().and_then(seconds);
            slice = Some((requests, time.ok_or_else(|| missing("time"))?));
        } else if let Some(rest) = line.strip_prefix("Socket errors:") {
            let numbers = rest.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
            errors += numbers.sum::<u64>();
        } else if let Some(rest) = line.strip_prefix("Non-2xx or 3xx responses:") {
            errors += rest.trim().parse::<u64>().map_err(|_| missing("number of responses"))?;
        }
    }
    let (requests, seconds) = slice.ok_or_else(|| missing("summary"))?;
    Ok(Slice { requests, seconds, errors })
}

fn seconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n\
        \x20 Thread Stats   Avg      Stdev     Max   +/- Stdev\n  70219 requests in 1.10s, 16.14MB read\n\
        Requests/sec:  63852.33\n";

    #[test]
    fn reads_a_summary() {
        assert_eq!(parse(GOOD).unwrap(), Slice { requests: 70_219, seconds: 1.1, errors: 0 });
        let bad = format!(
            "{GOOD}  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 90\n"
        );
        assert_eq!(parse(&bad).unwrap().errors, 100);
        assert!(parse("unable to connect").is_err());
    }

    #[test]
    fn a_request_has_eight_headers() {
        let text = String::from_utf8(request("/128")).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains(": ")).count(), 8);
    }
}
