//! Programs that a run needs beside ours, and where they are.
//!
//! It installs nothing: `make bench` does, before it runs anything.

use std::path::{Path, PathBuf};

use anyhow::bail;
use portcullis_testkit::process::workspace_binary;

/// A program, and what installs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) program: &'static str,
    pub(crate) by: &'static str,
}

const fn need(program: &'static str, by: &'static str) -> Need {
    Need { program, by }
}

pub(crate) const WRK: Need = need("wrk", "apt-get install wrk");
pub(crate) const H2LOAD: Need = need("h2load", "apt-get install nghttp2-client");
pub(crate) const PERF: Need = need("perf", "apt-get install linux-perf");
pub(crate) const VALGRIND: Need = need("valgrind", "apt-get install valgrind");
pub(crate) const HAPROXY: Need = need("haproxy", "apt-get install haproxy");
pub(crate) const NGINX: Need = need("nginx", "apt-get install nginx");

pub(crate) const SHOP: Need = need("shop", "cargo build --release -p shop");
pub(crate) const SIMULATOR: Need =
    need("shop-simulator", "cargo build --release -p shop-simulator");

pub(crate) const CADDY: Need = need("caddy", "apt-get install caddy");
pub(crate) const ENVOY: Need = need("envoy", "tools/envoy.sh target/envoy");

/// Fails when one of them is missing, and says how all that are come.
pub(crate) fn require(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        needs.iter().filter(|need| !is_installed(**need)).map(|need| need.by).collect();
    if !missing.is_empty() {
        bail!("programs are missing; `make bench` installs them, or: {}", missing.join("; "));
    }
    Ok(())
}

pub(crate) fn is_installed(need: Need) -> bool {
    // The shop's programs lie where this one does.
    find(need.program).is_some() || workspace_binary(need.program).is_ok()
}

/// Where a program is: by the search path, where Debian keeps servers, or below the build's own
/// directory, where what Debian does not have is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let known = path.split(':').chain(["/usr/sbin", "/sbin"]).map(PathBuf::from);
    let own = std::env::current_exe().unwrap_or_default();
    let built = own.ancestors().skip(1).take(3).map(|place: &Path| place.join(program));
    known.chain(built).map(|place| place.join(program)).find(|file| file.is_file())
}
