//! The demo: real services behind a real gateway, a customer who uses them, and a crowd after which
//! the books are checked.
//!
//! It knows the programs as any operator does, by their flags, ports and answers; none of their
//! code is linked in.

use std::process::ExitCode;

use clap::Parser;

mod access_log;
mod child;
mod client;
mod crowd;
mod customer;
mod hints;
mod options;
mod parent;
mod places;
mod programs;
mod run;
mod say;
mod secret;
mod shop;
mod taken;

fn main() -> ExitCode {
    let options = options::Options::parse();
    match run::run(&options) {
        Ok(code) => code,
        Err(error) => {
            say::line(format_args!("✗ {error:#}"));
            ExitCode::FAILURE
        }
    }
}
