//! All of the shop's services as one process.

use std::process::ExitCode;

/// As in the users service: every hash takes 19 MiB on whichever thread is free, and the C library
/// would keep that much for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shop::process::main()
}
