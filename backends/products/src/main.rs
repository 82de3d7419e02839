//! The products service as a process.

use std::process::ExitCode;

use shop_platform::process;
use shop_products::Options;

fn main() -> ExitCode {
    process::main(|options: Options, shutdown| async move {
        shop_products::build(&options, shutdown).await
    })
}
