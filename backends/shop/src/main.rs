//! All of the shop's services as one process.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop::process::main()
}
