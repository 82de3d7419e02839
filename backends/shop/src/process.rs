//! The shop as a process: as a single service's, but with a line for each of them.
//!
//! Exit codes: 0 stopped as asked, 1 failed, 2 started with flags that cannot be right.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use shop_platform::{SystemClock, process, telemetry};

use crate::{Ended, Listening, Options, Shop};

/// The whole of `main`. Prints `NAME listening on http://ADDRESS` for each service, with
/// ` and grpc on http://ADDRESS` behind it where there is one, and then `ready`.
pub fn main() -> ExitCode {
    // Usage errors end the process here, with 2.
    let options = Options::parse();
    telemetry::start(options.server.log_level);
    let ended = process::run(async |shutdown| {
        let Shop { services, run } =
            crate::build(&options, Arc::new(SystemClock), shutdown).await?;
        announce(&services);
        Ok(run.await)
    });
    match ended {
        Ok(Ended::Stopped { .. }) => ExitCode::SUCCESS,
        Ok(Ended::Broken) => ExitCode::from(1),
        Err(error) => process::did_not_start(&error),
    }
}

fn announce(services: &[Listening]) {
    let mut text = String::new();
    for Listening { name, address, grpc } in services {
        let grpc = grpc.map_or_else(String::new, |grpc| format!(" and grpc on http://{grpc}"));
        text.push_str(&format!("{name} listening on http://{address}{grpc}\n"));
    }
    text.push_str("ready\n");
    // Nobody may be reading; that is no reason not to serve.
    drop(std::io::stdout().write_all(text.as_bytes()));
}
