//! The users service as a process.

use std::process::ExitCode;
use std::sync::Arc;

use shop_platform::{SystemClock, process};
use shop_users::Options;

/// Every hash takes 19 MiB on whichever thread is free, and the C library would keep that much
/// for each thread: hundreds of MiB after a busy minute.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::main(|options: Options, shutdown| async move {
        shop_users::build(&options, Arc::new(SystemClock), shutdown).await
    })
}
