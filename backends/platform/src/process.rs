//! A service as a process: flags, logs, signals, exit codes.
//!
//! Exit codes: 0 stopped as asked, 1 failed, 2 started with flags that cannot be right.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::{Bound, Shutdown, StartError};
use crate::settings::Options;
use crate::telemetry;

/// How long the runtime waits for work on its blocking threads, once everything else has ended.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// The whole of a service's `main`. Prints `listening on http://ADDRESS` to standard output as
/// soon as connections are accepted there, and `grpc on http://ADDRESS` if the service has gRPC.
pub fn main<O, B, F>(build: B) -> ExitCode
where
    O: Parser + Options,
    B: FnOnce(O, Shutdown) -> F,
    F: Future<Output = Result<Bound, StartError>>,
{
    // Usage errors end the process here, with 2.
    let options = O::parse();
    telemetry::start(options.server().log_level);
    let served = run(async |shutdown| {
        let bound = build(options, shutdown).await?;
        announce(&bound);
        bound.run.await;
        Ok(())
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => did_not_start(&error),
    }
}

/// Runs `work` on a runtime of its own. The shutdown it is given resolves on SIGTERM and SIGINT.
pub fn run<T>(work: impl AsyncFnOnce(Shutdown) -> Result<T, StartError>) -> Result<T, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let done = runtime.block_on(async { work(signals().map_err(StartError::Runtime)?).await });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    done
}

/// Logs why, and tells wrong flags from a world that is not ready.
pub fn did_not_start(error: &StartError) -> ExitCode {
    tracing::error!(%error, "the process did not start");
    ExitCode::from(if error.is_usage() { 2 } else { 1 })
}

/// Nobody may be reading; that is no reason not to serve.
fn announce(bound: &Bound) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "listening on http://{}", bound.address));
    if let Some(address) = bound.grpc {
        drop(writeln!(out, "grpc on http://{address}"));
    }
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
