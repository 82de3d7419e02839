//! The orders service as a process.

use std::process::ExitCode;
use std::sync::Arc;

use shop_orders::Options;
use shop_platform::{SystemClock, process};

fn main() -> ExitCode {
    process::main(|options: Options, shutdown| async move {
        shop_orders::build(&options, Arc::new(SystemClock), shutdown).await
    })
}
