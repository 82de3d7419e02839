//! The users service as a process.

use std::process::ExitCode;
use std::sync::Arc;

use shop_platform::{SystemClock, process};
use shop_users::Options;

fn main() -> ExitCode {
    process::main(|options: Options, shutdown| async move {
        shop_users::build(&options, Arc::new(SystemClock), shutdown).await
    })
}
