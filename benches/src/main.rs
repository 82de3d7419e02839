//! Load, origins and side-by-side runs against installed peers.

mod chaos;
mod compare;
mod counts;
mod engines;
mod floor;
mod h2load;
mod idle;
mod load;
mod origin;
mod setup;
mod sink;
mod soak;
mod sockets;
mod stats;
mod table;
mod wrk;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "portcullis-bench", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU, system calls and instructions per request of all engines, side by side.
    Compare(compare::Options),
    /// Memory at rest and for each idle connection.
    Idle(idle::Options),
    /// Reloads, drain and the death of an endpoint, under load that accounts for every request.
    Soak(soak::Options),
    /// Faults drawn by a seed, one after the other, under load in every protocol.
    Chaos(chaos::Options),
    /// A cheap origin: /128, /16k and /1m answer bodies of these sizes.
    Origin {
        /// On loopback; 0 lets the kernel choose. The address is printed.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// A proxy that parses nothing: the least that forwarding can cost.
    Floor {
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Where to forward to, on loopback.
        #[arg(long)]
        origin: u16,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Compare(options) => compare::run(&options),
        Command::Idle(options) => idle::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Origin { port } => {
            origin::run(port, |address| println!("listening on {address}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Floor { port, origin } => {
            floor::run(port, origin, |address| println!("listening on {address}"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
