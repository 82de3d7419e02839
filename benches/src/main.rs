//! Load, origins and side-by-side runs against installed peers.

mod chaos;
mod chart;
mod contest;
mod counts;
mod engines;
mod floor;
mod grpc_origin;
mod live;
mod load;
mod machine;
mod numbers;
mod origin;
mod reload;
mod report;
mod response;
mod results;
mod rounds;
mod row;
mod run;
mod setting;
mod setup;
mod soak;
mod sockets;
mod spread;
mod stats;
mod suite;
mod table;
mod verdict;
mod victims;

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
    /// The benchmark suite: what requests cost, all engines side by side.
    Run(run::Options),
    /// The tables and the chart of README and docs/benchmarks.md, from the results that are kept.
    Report(report::Options),
    /// Reloads, drain and the death of an endpoint, under load that accounts for every request.
    Soak(soak::Options),
    /// How evenly connections lie on the workers of the gateway.
    Spread(spread::Options),
    /// Faults drawn by a seed, one after the other, under load in every protocol.
    Chaos(chaos::Options),
    /// How long two clients wait while a third one floods the gateway, beside a flood elsewhere.
    Victims(victims::Options),
    /// A cheap origin: /128, /16k and /1m answer bodies of these sizes.
    Origin {
        /// On loopback; 0 lets the kernel choose. The address is printed.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// A cheap origin that switches to WebSocket and sends every message back.
    WebsocketEcho {
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// A cheap origin of gRPC that sends every message of a call back.
    GrpcEcho {
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// A cheap origin of HTTP/2 without TLS that answers every call of gRPC with the same message.
    GrpcOrigin {
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
        Command::Run(options) => run::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Spread(options) => spread::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Victims(options) => victims::run(&options),
        Command::Origin { port } => {
            origin::run(port, |address| println!("listening on {address}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::WebsocketEcho { port } => {
            load::websocket::echo::run(port, |address| println!("listening on {address}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::GrpcEcho { port } => {
            load::grpc::echo::run(port, |address| println!("listening on {address}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::GrpcOrigin { port } => {
            grpc_origin::run(port, |address| println!("listening on {address}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Floor { port, origin } => {
            floor::run(port, origin, |address| println!("listening on {address}"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
