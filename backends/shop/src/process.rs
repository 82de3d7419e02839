//! The shop as a process: as a single service's, but with a line for each of them.
//!
//! Exit codes: 0 stopped as asked, 1 failed, 2 started with flags that cannot be right.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use shop_platform::server::Shutdown;
use shop_platform::{StartError, SystemClock, telemetry};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Ended, Listening, Options, Shop};

/// How long the runtime waits for work on its blocking threads, once everything else has ended.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// The whole of `main`. Prints `NAME listening on http://ADDRESS` for each service, with
/// ` and grpc on http://ADDRESS` behind it where there is one, and then `ready`.
pub fn main() -> ExitCode {
    // Usage errors end the process here, with 2.
    let options = Options::parse();
    telemetry::start(options.server.log_level);
    match serve(&options) {
        Ok(Ended::Stopped { .. }) => ExitCode::SUCCESS,
        Ok(Ended::Broken) => ExitCode::from(1),
        Err(error) => {
            tracing::error!(%error, "the shop did not start");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn serve(options: &Options) -> Result<Ended, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let ended = runtime.block_on(async {
        let shutdown = signals().map_err(StartError::Runtime)?;
        let Shop { services, run } = crate::build(options, Arc::new(SystemClock), shutdown).await?;
        announce(&services);
        Ok(run.await)
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    ended
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

/// Handlers are in place when this returns, so that no signal after the first line is lost.
fn signals() -> std::io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(Box::pin(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
    }))
}
