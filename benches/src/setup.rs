//! What a run needs from Debian, installed when it is missing.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

/// A program and the package that has it.
pub(crate) type Need = (&'static str, &'static str);

pub(crate) const WRK: Need = ("wrk", "wrk");
pub(crate) const H2LOAD: Need = ("h2load", "nghttp2-client");
pub(crate) const PERF: Need = ("perf", "linux-perf");
pub(crate) const VALGRIND: Need = ("valgrind", "valgrind");

/// Installs what is missing, and says so.
pub(crate) fn require(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&str> = missing(needs).map(|(_, package)| package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!("not installed: {list}. Install them with: apt-get install {list}");
    }
    eprintln!("installing from Debian: {list}");
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)
}

pub(crate) fn is_installed(need: Need) -> bool {
    missing(&[need]).next().is_none()
}

fn missing(needs: &[Need]) -> impl Iterator<Item = Need> {
    needs.iter().copied().filter(|(program, _)| {
        let path = std::env::var("PATH").unwrap_or_default();
        let places = path.split(':').chain(["/usr/sbin", "/sbin"]);
        !places.into_iter().any(|place| Path::new(place).join(program).is_file())
    })
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Its output is no part of ours.
        .stdout(std::io::stderr())
        .status()?;
    if !status.success() {
        bail!("apt-get {} failed", arguments.join(" "));
    }
    Ok(())
}
