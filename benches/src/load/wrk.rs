//! A closed loop of HTTP/1: wrk, and what it says.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::{Slice, generator};
use crate::engines::Running;
use crate::setting::Listener;

/// What clients ask, again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requests {
    pub(crate) path: &'static str,
    pub(crate) connections: usize,
    /// Bytes of a body; without any it is a GET, otherwise a POST.
    pub(crate) body: usize,
}

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

pub(crate) fn run(
    requests: &Requests,
    engine: &Running,
    duration: Duration,
) -> anyhow::Result<Slice> {
    let mut wrk = generator("wrk", engine.setting.cores);
    wrk.arg("-t1")
        .arg(format!("-c{}", requests.connections))
        .arg(format!("-d{}s", duration.as_secs().max(1)))
        // Thousands of connections may all be waiting in one queue; what is slow is no failure.
        .args(["--timeout", "10s"]);
    wrk.arg("-H").arg(format!("Host: {}", engine.host()));
    for header in headers() {
        wrk.args(["-H", header]);
    }
    if requests.body > 0 {
        wrk.arg("-s").arg(script(&engine.directory, requests.body)?);
    }
    if engine.setting.listener == Listener::Tls {
        wrk.env("OPENSSL_CONF", one_suite(&engine.directory)?);
    }
    let output = wrk.arg(engine.url(requests.path)).output().context("wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&text).with_context(|| format!("wrk said:\n{text}"))
}

/// Makes wrk send a body. The request is built once, not for each time it is sent.
fn script(directory: &Path, body: usize) -> io::Result<PathBuf> {
    let path = directory.join("post.lua");
    let text = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {body})\n");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Makes wrk offer one suite of TLS 1.3, so that all engines cipher alike: left to themselves they
/// choose differently.
fn one_suite(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("openssl.cnf");
    let text = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = suite\n\
                [suite]\nMinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\n";
    std::fs::write(&path, text)?;
    Ok(path)
}

pub(crate) fn headers() -> impl Iterator<Item = &'static str> {
    HEADERS.into_iter()
}

impl Requests {
    /// One of them as bytes, for runs that count exactly.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let method = if self.body > 0 { "POST" } else { "GET" };
        let mut request = format!("{method} {} HTTP/1.1\r\nHost: 127.0.0.1\r\n", self.path);
        for header in headers() {
            request.push_str(header);
            request.push_str("\r\n");
        }
        if self.body > 0 {
            request.push_str(&format!("Content-Length: {}\r\n", self.body));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.resize(bytes.len() + self.body, b'x');
        bytes
    }
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
    Ok(Slice { requests, seconds, errors, figure: None, fell_behind: false })
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
        let slice =
            Slice { requests: 70_219, seconds: 1.1, errors: 0, figure: None, fell_behind: false };
        assert_eq!(parse(GOOD).unwrap(), slice);
        let bad = format!(
            "{GOOD}  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 90\n"
        );
        assert_eq!(parse(&bad).unwrap().errors, 100);
        assert!(parse("unable to connect").is_err());
    }

    #[test]
    fn a_request_has_eight_headers() {
        let requests = Requests { path: "/128", connections: 1, body: 0 };
        let text = String::from_utf8(requests.bytes()).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains(": ")).count(), 8);
        let posts = Requests { body: 3, ..requests };
        assert!(posts.bytes().ends_with(b"Content-Length: 3\r\n\r\nxxx"));
    }
}
