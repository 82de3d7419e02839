//! The commands, one file each.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod serve;

/// Exit codes: 0 clean, 1 a failure while running, 2 a configuration that cannot be used.
pub(crate) const FAILED: u8 = 1;
pub(crate) const BAD_CONFIGURATION: u8 = 2;

#[derive(Parser)]
#[command(name = "portcullis-gateway", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a configuration until told to stop.
    Run {
        /// A configuration file, or a directory of them.
        #[arg(long, short, value_name = "PATH")]
        config: PathBuf,
    },
}

pub(crate) fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => serve::serve(&config),
    }
}
