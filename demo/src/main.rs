//! The demo: real services behind a real gateway, a customer who uses them, and a crowd after which
//! the books are checked.
//!
//! It knows the programs as any operator does, by their flags, ports and answers; none of their
//! code is linked in.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

mod access_log;
mod child;
mod client;
mod crowd;
mod customer;
mod hints;
mod parent;
mod places;
mod programs;
mod run;
mod say;
mod secret;
mod shop;
mod taken;

/// Starts the shop behind the gateway, sends customers through it, and stays up until Ctrl-C
#[derive(Debug, Parser)]
#[command(name = "shop-demo", version, about, max_term_width = 100)]
struct Options {
    /// End after the customers have left, with 1 if any step failed or the books do not balance.
    #[arg(long)]
    once: bool,
    /// Where everything listens.
    #[arg(long, value_enum, default_value_t = Ports::Example)]
    ports: Ports,
    /// The gateway's configuration.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/shop.yaml"))]
    config: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ports {
    /// Where the example's configuration says.
    Example,
    /// On loopback, on ports that are free now.
    Free,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run::run(&options) {
        Ok(code) => code,
        Err(error) => {
            say::line(format_args!("✗ {error:#}"));
            ExitCode::FAILURE
        }
    }
}
