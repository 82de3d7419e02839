//! The public edge: a command line over the data plane.

use std::process::ExitCode;

mod allocator;
mod commands;

fn main() -> ExitCode {
    // One touched byte would take 2 MiB of a huge page: a proxy at rest is smaller than that.
    // Where the kernel does not know them there is nothing to turn off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    commands::run()
}
