//! The flags of the demo.

use std::path::PathBuf;

use clap::Parser;

use crate::places::Ports;

/// Starts the shop behind the gateway, sends customers through it, and stays up until Ctrl-C
#[derive(Debug, Parser)]
#[command(name = "shop-demo", version, about, max_term_width = 100)]
pub(crate) struct Options {
    /// End after the customers have left, with 1 if any step failed or the books do not balance.
    #[arg(long)]
    pub(crate) once: bool,
    /// Where everything listens.
    #[arg(long, value_enum, default_value_t = Ports::Example)]
    pub(crate) ports: Ports,
    /// The gateway's configuration.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/shop.yaml"))]
    pub(crate) config: PathBuf,
}
